-- name: insert_refunds
-- The intents, written down before any channel is called. A number that another transaction has just taken is an
-- error here, on which the whole list is looked at again.
INSERT INTO payments.refund (
    id, payment_id, attempt_id, merchant_id, account_id, channel, kind, merchant_refund_no, amount_minor, currency,
    reason, platform_minor, channel_minor, fee_minor, route, state, hold_id, payout_account_id, next_query_at,
    payee_sealed, lines, created_at
)
SELECT n.id, n.payment_id, n.attempt_id, n.merchant_id, n.account_id, n.channel, n.kind, n.merchant_refund_no,
    n.amount_minor, n.currency, n.reason, n.platform_minor, n.channel_minor, n.fee_minor, n.route, n.state, n.hold_id,
    n.payout_account_id, n.next_query_at, n.payee_sealed, n.lines, $22::timestamptz
FROM unnest(
    $1::uuid [], $2::uuid [], $3::uuid [], $4::uuid [], $5::uuid [], $6::text [], $7::text [], $8::text [],
    $9::bigint [], $10::text [], $11::text [], $12::bigint [], $13::bigint [], $14::bigint [], $15::text [],
    $16::text [], $17::uuid [], $18::uuid [], $19::timestamptz [], $20::bytea [], $21::text []
) AS n (
    id, payment_id, attempt_id, merchant_id, account_id, channel, kind, merchant_refund_no, amount_minor, currency,
    reason, platform_minor, channel_minor, fee_minor, route, state, hold_id, payout_account_id, next_query_at,
    payee_sealed, lines
)
ORDER BY n.merchant_refund_no, n.merchant_id;

-- name: find_refunds_by_no
-- The refunds that already stand under these numbers.
SELECT r.id, r.payment_id, r.attempt_id, r.merchant_id, r.account_id, r.channel, r.kind, r.merchant_refund_no,
    r.amount_minor, r.currency, r.reason, r.platform_minor, r.channel_minor, r.fee_minor, r.route, r.state, r.hold_id,
    r.tries, r.queries, r.channel_refund_no, r.channel_code, r.channel_message, r.payout_account_id, r.payee_sealed,
    r.reference, r.created_at, r.finished_at, r.next_query_at, r.late_success_at,
    r.lines,
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = r.payment_id) AS merchant_order_no
FROM payments.refund AS r
JOIN (
    SELECT DISTINCT merchant_id, merchant_refund_no
    FROM unnest($1::uuid [], $2::text []) AS o (merchant_id, merchant_refund_no)
) AS o USING (merchant_id, merchant_refund_no);

-- name: find_refunds
-- Refunds by id, of one merchant or of all.
SELECT id, payment_id, attempt_id, merchant_id, account_id, channel, kind, merchant_refund_no, amount_minor, currency,
    reason, platform_minor, channel_minor, fee_minor, route, state, hold_id, tries, queries, channel_refund_no,
    channel_code, channel_message, payout_account_id, payee_sealed, reference, created_at, finished_at, next_query_at,
    late_success_at, lines,
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = refund.payment_id) AS merchant_order_no
FROM payments.refund
WHERE id = ANY ($1::uuid []) AND ($2::uuid IS NULL OR merchant_id = $2);

-- name: refunds_of_payments
-- All refunds of some payments, first to last.
SELECT id, payment_id, attempt_id, merchant_id, account_id, channel, kind, merchant_refund_no, amount_minor, currency,
    reason, platform_minor, channel_minor, fee_minor, route, state, hold_id, tries, queries, channel_refund_no,
    channel_code, channel_message, payout_account_id, payee_sealed, reference, created_at, finished_at, next_query_at,
    late_success_at, lines,
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = refund.payment_id) AS merchant_order_no
FROM payments.refund
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, id;

-- name: page_of_refunds
-- The refunds of one payment, first to last, from after the one given.
SELECT id, payment_id, attempt_id, merchant_id, account_id, channel, kind, merchant_refund_no, amount_minor, currency,
    reason, platform_minor, channel_minor, fee_minor, route, state, hold_id, tries, queries, channel_refund_no,
    channel_code, channel_message, payout_account_id, payee_sealed, reference, created_at, finished_at, next_query_at,
    late_success_at, lines,
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = refund.payment_id) AS merchant_order_no
FROM payments.refund
WHERE payment_id = $1 AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3;

-- name: payments_of_refunds
-- Whose lock to take before touching these refunds.
SELECT DISTINCT payment_id
FROM payments.refund
WHERE id = ANY ($1::uuid []);

-- name: update_refunds
-- The new states of refunds whose payments the caller has locked.
UPDATE payments.refund AS r
SET route = u.route, state = u.state, hold_id = u.hold_id, tries = u.tries, channel_refund_no = u.channel_refund_no,
    channel_code = u.channel_code, channel_message = u.channel_message, source = coalesce(u.source, r.source),
    payout_account_id = u.payout_account_id, payee_sealed = u.payee_sealed, reference = u.reference,
    finished_at = u.finished_at, next_query_at = u.next_query_at, late_success_at = u.late_success_at
FROM unnest(
    $1::uuid [], $2::text [], $3::text [], $4::uuid [], $5::integer [], $6::text [], $7::text [], $8::text [],
    $9::text [], $10::uuid [], $11::bytea [], $12::text [], $13::timestamptz [], $14::timestamptz [],
    $15::timestamptz []
) AS u (
    id, route, state, hold_id, tries, channel_refund_no, channel_code, channel_message, source, payout_account_id,
    payee_sealed, reference, finished_at, next_query_at, late_success_at
)
WHERE r.id = u.id;

-- name: update_refund_sums
-- What has gone back and what is on its way, of payments that the caller has locked.
UPDATE payments.payment AS p
SET amount_refunded_minor = u.refunded, amount_refunding_minor = u.refunding
FROM unnest($1::uuid [], $2::bigint [], $3::bigint []) AS u (id, refunded, refunding)
WHERE p.id = u.id;

-- name: claim_due_refunds
-- Refunds that wait for a call or for an answer. The claim is a later time: who dies with it loses nothing.
UPDATE payments.refund AS r
SET next_query_at = $2, queries = r.queries + 1
WHERE r.id = ANY (
    ARRAY(
        SELECT due.id
        FROM payments.refund AS due
        WHERE due.next_query_at <= $1
        ORDER BY due.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING r.id;
