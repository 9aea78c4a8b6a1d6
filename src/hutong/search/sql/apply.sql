-- name: use_house
-- Which of the two houses the unqualified names below mean, until the transaction ends.
SELECT set_config('search_path', $1, true);

-- name: try_lock
-- One applier at a time: a bill is made of what two sources tell, and each must see what the other has written.
SELECT pg_try_advisory_xact_lock(hashtext('hutong.search'));

-- name: read_watermarks
-- How far each source has been read.
SELECT source, no FROM watermark ORDER BY source;

-- name: move_watermark
-- Together with what was read up to there.
INSERT INTO watermark AS w (source, no, event_at, moved_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (source) DO UPDATE SET no = EXCLUDED.no, event_at = EXCLUDED.event_at, moved_at = EXCLUDED.moved_at
WHERE w.no < EXCLUDED.no;

-- name: put_bills
-- A newer version replaces the row, an older one is refused; what its refunds make of it is added up afterwards.
INSERT INTO bill AS b (
    payment_id, version, merchant_id, status, merchant_order_no, subject, words, grams, amount_minor, currency,
    amount_captured_minor, method, channel, customer_id, created_at, authorized_at, succeeded_at, closed_at
)
SELECT n.payment_id, n.version, n.merchant_id, n.status, n.merchant_order_no, n.subject, n.words,
    string_to_array(n.grams, ' '), n.amount_minor, n.currency, n.amount_captured_minor, n.method, n.channel,
    n.customer_id, n.created_at, n.authorized_at, n.succeeded_at, n.closed_at
FROM unnest(
    $1::uuid [], $2::bigint [], $3::uuid [], $4::text [], $5::text [], $6::text [], $7::text [], $8::text [],
    $9::bigint [], $10::text [], $11::bigint [], $12::text [], $13::text [], $14::text [], $15::timestamptz [],
    $16::timestamptz [], $17::timestamptz [], $18::timestamptz []
) AS n (
    payment_id, version, merchant_id, status, merchant_order_no, subject, words, grams, amount_minor, currency,
    amount_captured_minor, method, channel, customer_id, created_at, authorized_at, succeeded_at, closed_at
)
ON CONFLICT (payment_id) DO UPDATE SET
    version = EXCLUDED.version, merchant_id = EXCLUDED.merchant_id, status = EXCLUDED.status,
    merchant_order_no = EXCLUDED.merchant_order_no, subject = EXCLUDED.subject, words = EXCLUDED.words,
    grams = EXCLUDED.grams, amount_minor = EXCLUDED.amount_minor, currency = EXCLUDED.currency,
    amount_captured_minor = EXCLUDED.amount_captured_minor, method = EXCLUDED.method, channel = EXCLUDED.channel,
    customer_id = EXCLUDED.customer_id, created_at = EXCLUDED.created_at, authorized_at = EXCLUDED.authorized_at,
    succeeded_at = EXCLUDED.succeeded_at, closed_at = EXCLUDED.closed_at
WHERE b.version < EXCLUDED.version;

-- name: put_refunds
-- A newer version replaces the row, an older one is refused.
INSERT INTO refund AS r (refund_id, version, payment_id, amount_minor, document)
SELECT n.refund_id, n.version, n.payment_id, n.amount_minor, n.document::jsonb
FROM unnest($1::uuid [], $2::bigint [], $3::uuid [], $4::bigint [], $5::text [])
    AS n (refund_id, version, payment_id, amount_minor, document)
ON CONFLICT (refund_id) DO UPDATE SET
    version = EXCLUDED.version, payment_id = EXCLUDED.payment_id, amount_minor = EXCLUDED.amount_minor,
    document = EXCLUDED.document
WHERE r.version < EXCLUDED.version;

-- name: add_refunds_up
-- Whichever of a payment and its refunds was told of last.
UPDATE bill AS b SET refunds = s.refunds, amount_refunded_minor = s.amount_minor
FROM (
    SELECT r.payment_id, jsonb_agg(r.document ORDER BY r.refund_id) AS refunds, sum(r.amount_minor) AS amount_minor
    FROM refund AS r
    WHERE r.payment_id = ANY ($1::uuid []) AND r.document IS NOT NULL
    GROUP BY r.payment_id
) AS s
WHERE b.payment_id = s.payment_id AND b.status IS NOT NULL AND b.refunds IS DISTINCT FROM s.refunds;

-- name: put_profiles
-- The newest order that says something of a customer holds, in whatever order they come.
INSERT INTO profile AS p (merchant_id, customer_id, name, words, grams, avatar, version_at, version_id)
SELECT n.merchant_id, n.customer_id, n.name, n.words, string_to_array(n.grams, ' '), n.avatar, n.version_at,
    n.version_id
FROM unnest(
    $1::uuid [], $2::text [], $3::text [], $4::text [], $5::text [], $6::text [], $7::timestamptz [], $8::uuid []
)
    AS n (merchant_id, customer_id, name, words, grams, avatar, version_at, version_id)
ON CONFLICT (merchant_id, customer_id) DO UPDATE SET
    name = EXCLUDED.name, words = EXCLUDED.words, grams = EXCLUDED.grams, avatar = EXCLUDED.avatar, version_at = EXCLUDED.version_at,
    version_id = EXCLUDED.version_id
WHERE (p.version_at, p.version_id) < (EXCLUDED.version_at, EXCLUDED.version_id);
