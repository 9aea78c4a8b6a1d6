-- name: limit_search
-- A search that nobody narrowed must not keep the server busy, and each one is planned for what it asks.
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: search_bills
-- Bills newest first, from after a place in that order, so that what is added meanwhile neither repeats nor hides any.
SELECT b.payment_id, b.merchant_id, b.status, b.merchant_order_no, b.subject, b.amount_minor, b.currency,
    b.amount_captured_minor, b.amount_refunded_minor, b.method, b.channel, b.customer_id, p.name AS customer_name,
    p.avatar AS customer_avatar, b.created_at, b.authorized_at, b.succeeded_at, b.closed_at, b.refunds
FROM query.bill AS b
LEFT JOIN query.profile AS p ON p.merchant_id = b.merchant_id AND p.customer_id = b.customer_id
WHERE b.status IS NOT NULL
    AND ($1::uuid IS NULL OR b.merchant_id = $1)
    AND ($2::timestamptz IS NULL OR b.created_at >= $2)
    AND ($3::timestamptz IS NULL OR b.created_at < $3)
    AND ($4::text IS NULL OR b.status = $4)
    AND ($5::bigint IS NULL OR b.amount_minor >= $5)
    AND ($6::bigint IS NULL OR b.amount_minor <= $6)
    AND ($7::text IS NULL OR b.currency = $7::char(3))
    AND ($8::text IS NULL OR b.merchant_order_no = $8)
    AND ($9::text IS NULL OR b.customer_id = $9)
    AND ($10::text [] IS NULL OR b.grams @> $10)
    AND ($11::text [] IS NULL OR NOT EXISTS (SELECT FROM unnest($11) AS t (term) WHERE strpos(b.words, t.term) = 0))
    AND ($12::text [] IS NULL OR b.customer_id = ANY ($12))
    AND (
        $13::uuid [] IS NULL
        OR (b.merchant_id, b.customer_id) IN (SELECT u.merchant_id, u.id FROM unnest($13, $12) AS u (merchant_id, id))
    )
    AND ($14::timestamptz IS NULL OR (b.created_at, b.payment_id) < ($14, $15::uuid))
ORDER BY b.created_at DESC, b.payment_id DESC
LIMIT $16;

-- name: find_customers
-- Whose id it is, or whose name holds it. By themselves, since joined to a search they would be looked for bill by bill.
SELECT q.merchant_id, q.customer_id
FROM query.profile AS q
WHERE ($1::uuid IS NULL OR q.merchant_id = $1) AND q.customer_id = $2
UNION
SELECT q.merchant_id, q.customer_id
FROM query.profile AS q
WHERE ($1::uuid IS NULL OR q.merchant_id = $1) AND q.grams @> $3::text [] AND strpos(q.words, $4) > 0
LIMIT $5;

-- name: find_record
-- One bill, of one merchant or of any.
SELECT b.payment_id, b.merchant_id, b.status, b.merchant_order_no, b.subject, b.amount_minor, b.currency,
    b.amount_captured_minor, b.amount_refunded_minor, b.method, b.channel, b.customer_id, p.name AS customer_name,
    p.avatar AS customer_avatar, b.created_at, b.authorized_at, b.succeeded_at, b.closed_at, b.refunds
FROM query.bill AS b
LEFT JOIN query.profile AS p ON p.merchant_id = b.merchant_id AND p.customer_id = b.customer_id
WHERE b.payment_id = $1 AND b.status IS NOT NULL AND ($2::uuid IS NULL OR b.merchant_id = $2);
