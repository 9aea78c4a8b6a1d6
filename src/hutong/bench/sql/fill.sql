-- name: fill_payments
-- $1 open payments of a hundred merchants: $3 of them end at $4, the others one by one after $2.
INSERT INTO payments.payment (
    id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, fee_ppm, checkout_token, expires_at,
    created_at
)
SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % 100), 32, '0')::uuid, 'open-' || n, 1999, 'CNY', 'Example Store',
    'processing', 0, 'x', CASE WHEN n <= $3 THEN $4::timestamptz ELSE $2::timestamptz + n * INTERVAL '1 s' END, $4
FROM generate_series(1, $1::integer) AS n;

-- name: fill_attempts
-- An open attempt for each payment, to be polled in a day.
INSERT INTO payments.attempt (
    id, payment_id, account_id, channel, method, state, action_kind, action_content, created_at, next_query_at
)
SELECT lpad(to_hex(n + 16000000), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid,
    '00000000-0000-0000-0000-000000000001', 'bench', 'bench_qr', 'submitted', 'qr_code', 'qr', $3::timestamptz,
    $2::timestamptz + n * INTERVAL '10 ms'
FROM generate_series(1, $1::integer) AS n;

-- name: gather_statistics
-- Update the statistics, as autovacuum would have done by then.
ANALYZE payments.payment, payments.attempt;

-- name: index_sizes
-- The sizes of the indexes that a sweep reads.
SELECT indexrelname AS name, pg_relation_size(indexrelid) AS bytes
FROM pg_stat_user_indexes
WHERE schemaname = 'payments' AND indexrelname = ANY ($1::text [])
ORDER BY indexrelname;
