-- name: fill_paid_payments
-- $1 payments of a hundred merchants and 20,000 customers, each paid once; every tenth has a refund of 500.
INSERT INTO payments.payment (
    id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, fee_ppm, checkout_token, expires_at,
    created_at, succeeded_at, amount_captured_minor, amount_refunded_minor, customer
)
SELECT (lpad(to_hex(1767225600000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
    lpad(to_hex(n % 100), 32, '0')::uuid, 'paid-' || n, 1000 + n % 90000, 'CNY',
    (ARRAY['糖醋排骨', '珍珠奶茶', '红烧牛肉面', '手机话费充值', '地铁出行', '超市购物', '电影票', '会员续费', '外卖订单', 'Jasmine tea'])
        [1 + n % 10] || ' ' || n || ' 号订单',
    'succeeded', 0, 'unguessable-unguessable', to_timestamp(1767312000 + n / 1000.0),
    to_timestamp((1767225600000 + n) / 1000.0), to_timestamp((1767225600000 + n) / 1000.0), 1000 + n % 90000,
    CASE WHEN n % 10 = 0 THEN 500 ELSE 0 END,
    json_build_object('id', 'u' || n % 20000, 'name', '顾客' || n % 20000, 'avatar', 'v' || n / 20000)::text
FROM generate_series(1, $1::integer) AS n;

-- name: fill_paid_attempts
-- The successful attempt of each payment.
INSERT INTO payments.attempt (
    id, payment_id, account_id, channel, method, state, created_at, finished_at, amount_captured_minor
)
SELECT overlay(p.id::text PLACING '7001' FROM 15 FOR 4)::uuid, p.id, '00000000-0000-0000-0000-000000000001', 'wechat',
    'wechat_native', 'succeeded', p.created_at, p.succeeded_at, p.amount_captured_minor
FROM payments.payment AS p;

-- name: fill_refunds
-- The refunds.
INSERT INTO payments.refund (
    id, payment_id, attempt_id, merchant_id, account_id, channel, kind, merchant_refund_no, amount_minor, currency,
    reason, route, state, hold_id, created_at, finished_at
)
SELECT overlay(p.id::text PLACING '7002' FROM 15 FOR 4)::uuid, p.id,
    overlay(p.id::text PLACING '7001' FROM 15 FOR 4)::uuid, p.merchant_id, '00000000-0000-0000-0000-000000000001',
    'wechat', 'refund', 'back-' || p.merchant_order_no, 500, p.currency, '商品破损', 'original', 'succeeded', p.id,
    p.created_at + INTERVAL '1 hour', p.created_at + INTERVAL '2 hours'
FROM payments.payment AS p
WHERE p.amount_refunded_minor > 0;

-- name: fill_object_counters
-- Each payment and each refund has had one event.
INSERT INTO events.object (object_id, last_seq)
SELECT id, 1 FROM payments.payment UNION ALL SELECT id, 1 FROM payments.refund;

-- name: fill_payment_events
-- The events of the payments, with every field of such an event.
INSERT INTO events.outbox (event_id, merchant_id, object_id, object_seq, type, data, created_at)
SELECT overlay(p.id::text PLACING '7003' FROM 15 FOR 4)::uuid, p.merchant_id, p.id, 1, 'payment.succeeded',
    json_build_object(
        'id', 'pay_01h455vb4pex5vsknk084sn02q', 'object', 'payment', 'status', p.status,
        'merchant_order_no', p.merchant_order_no, 'amount_minor', p.amount_minor, 'capture_method', 'automatic',
        'amount_captured_minor', p.amount_captured_minor, 'amount_paid_minor', p.amount_captured_minor,
        'amount_settled_minor', p.amount_captured_minor, 'channel_discounts', json_build_array(),
        'amount_refunded_minor', 0, 'amount_refunding_minor', 0, 'amount_disputed_minor', 0,
        'currency', p.currency, 'subject', p.subject, 'return_url', NULL, 'cancel_url', NULL,
        'metadata', json_build_object(), 'customer', p.customer::json,
        'checkout_url', 'https://pay.example/pay/pay_01h455vb4pex5vsknk084sn02q?token=unguessable-unguessable',
        'created_at', to_char(p.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'expires_at', to_char(p.expires_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'authorized_at', NULL,
        'capture_before', NULL, 'capturing', false,
        'succeeded_at', to_char(p.succeeded_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'closed_at', NULL,
        'close_reason', NULL, 'closing', false,
        'attempts', json_build_array(json_build_object(
            'id', 'att_01h455vb4pex5vsknk084sn02q', 'method', 'wechat_native', 'channel', 'wechat',
            'state', 'succeeded', 'surplus', false, 'action', NULL,
            'channel_order_no', '4200000000202611210000000001', 'channel_code', 'SUCCESS', 'channel_message', NULL,
            'code', NULL, 'retryable', NULL, 'text', NULL,
            'created_at', to_char(p.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'finished_at', to_char(p.succeeded_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        ))
    ),
    p.created_at
FROM payments.payment AS p;

-- name: fill_refund_events
-- The events of the refunds. Public ids are the prefix and the id's 130 bits, two of them added in front, five a letter.
INSERT INTO events.outbox (event_id, merchant_id, object_id, object_seq, type, data, created_at)
SELECT overlay(r.id::text PLACING '7004' FROM 15 FOR 4)::uuid, r.merchant_id, r.id, 1, 'refund.succeeded',
    json_build_object(
        'id', 'ref_' || own.text, 'object', 'refund', 'payment_id', 'pay_' || whole.text, 'kind', r.kind,
        'source', CASE r.kind WHEN 'surplus' THEN 'platform' ELSE 'merchant' END,
        'state', r.state, 'route', r.route, 'merchant_refund_no', r.merchant_refund_no, 'amount_minor', r.amount_minor,
        'amount_paid_minor', r.amount_minor, 'amount_settled_minor', r.amount_minor,
        'currency', r.currency, 'fee_returned_minor', 0, 'items', json_build_array(), 'reason', r.reason,
        'channel', r.channel, 'channel_refund_no', NULL, 'channel_code', NULL, 'channel_message', NULL,
        'text', NULL,
        'created_at', to_char(r.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'finished_at', to_char(r.finished_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'failed_after_success_at', NULL
    ),
    r.finished_at
FROM payments.refund AS r
CROSS JOIN LATERAL (
    SELECT string_agg(
        substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + substring(bits.value FROM 5 * i + 1 FOR 5)::bit(5)::integer, 1), ''
        ORDER BY i
    ) AS text
    FROM (SELECT B'00' || ('x' || replace(r.id::text, '-', ''))::bit(128) AS value) AS bits, generate_series(0, 25) AS i
) AS own
CROSS JOIN LATERAL (
    SELECT string_agg(
        substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + substring(bits.value FROM 5 * i + 1 FOR 5)::bit(5)::integer, 1), ''
        ORDER BY i
    ) AS text
    FROM (SELECT B'00' || ('x' || replace(r.payment_id::text, '-', ''))::bit(128) AS value) AS bits,
        generate_series(0, 25) AS i
) AS whole;

-- name: analyze_payments
-- Update the statistics, as autovacuum would have done by then.
ANALYZE payments.payment, payments.attempt, payments.refund, events.outbox, events.object;

-- name: analyze_records
-- The same, once the payment records exist.
ANALYZE search.payment_record, search.refund, search.profile;
