-- columns: shown
-- What a payment's event says, as records show it; null while the payment is open.
merchant_id uuid, status text, merchant_order_no text, subject text, amount_minor bigint, currency text,
amount_captured_minor bigint, amount_paid_minor bigint, amount_settled_minor bigint, method text, channel text, customer_id text, created_at timestamptz,
authorized_at timestamptz, succeeded_at timestamptz, closed_at timestamptz

-- columns: record
payment_id, {shown}, amount_refunded_minor, refunds

-- columns: profile
merchant_id uuid, customer_id text, name text, folded text, avatar text, version_at timestamptz, version_id uuid

-- name: use_schema
-- The schema that unqualified names mean until the transaction ends: the live one or its shadow.
SELECT set_config('search_path', $1, true);

-- name: try_lock
-- One process applies facts at a time: a record combines two sources, and each must see what the other has written.
SELECT pg_try_advisory_xact_lock(hashtext('hutong.search'));

-- name: read_watermarks
-- How far each source has been read.
SELECT source, no FROM watermark ORDER BY source;

-- name: move_watermark
-- Committed together with the facts that were read up to it.
INSERT INTO watermark AS w (source, no, event_at, moved_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (source) DO UPDATE SET no = EXCLUDED.no, event_at = EXCLUDED.event_at, moved_at = EXCLUDED.moved_at
WHERE w.no < EXCLUDED.no;

-- name: put_records
-- A newer version replaces the row, an older one is refused. `sum_refunds` adds the refunds afterwards.
INSERT INTO payment_record AS b (payment_id, version, {shown}, folded, grams)
SELECT n.payment_id, n.version, {n.shown}, n.folded, string_to_array(n.grams, ' ')
FROM unnest(:payment_id::uuid [], :version::bigint [], {shown[]}, :folded::text [], :grams::text [])
    AS n (payment_id, version, {shown}, folded, grams)
ON CONFLICT (payment_id) DO UPDATE
SET (version, {shown}, folded, grams) = ROW (EXCLUDED.version, {EXCLUDED.shown}, EXCLUDED.folded, EXCLUDED.grams)
WHERE b.version < EXCLUDED.version;

-- name: put_refunds
-- A newer version replaces the row, an older one is refused.
INSERT INTO refund AS r (refund_id, version, payment_id, amount_minor, document)
SELECT n.refund_id, n.version, n.payment_id, n.amount_minor, n.document::jsonb
FROM unnest(
    :refund_id::uuid [], :version::bigint [], :payment_id::uuid [], :amount_minor::bigint [], :document::text []
) AS n (refund_id, version, payment_id, amount_minor, document)
ON CONFLICT (refund_id) DO UPDATE SET
    version = EXCLUDED.version, payment_id = EXCLUDED.payment_id, amount_minor = EXCLUDED.amount_minor,
    document = EXCLUDED.document
WHERE r.version < EXCLUDED.version;

-- name: sum_refunds
-- Bring the refunds of records up to date, whether the payment or the refund came last.
UPDATE payment_record AS b SET refunds = s.refunds, amount_refunded_minor = s.amount_minor
FROM (
    SELECT r.payment_id,
        coalesce(
            jsonb_agg(r.document ORDER BY r.document ->> 'created_at', r.refund_id) FILTER (WHERE r.document IS NOT NULL),
            '[]'
        ) AS refunds,
        coalesce(sum(r.amount_minor) FILTER (WHERE r.document IS NOT NULL), 0) AS amount_minor
    FROM refund AS r
    WHERE r.payment_id = ANY ($1::uuid [])
    GROUP BY r.payment_id
) AS s
WHERE b.payment_id = s.payment_id AND b.status IS NOT NULL AND b.refunds IS DISTINCT FROM s.refunds;

-- name: put_profiles
-- The newest profile of a customer replaces the row, in whatever order profiles arrive.
INSERT INTO profile AS p ({profile}, grams)
SELECT {n.profile}, string_to_array(n.grams, ' ')
FROM unnest({profile[]}, :grams::text []) AS n ({profile}, grams)
ON CONFLICT (merchant_id, customer_id) DO UPDATE SET
    name = EXCLUDED.name, folded = EXCLUDED.folded, grams = EXCLUDED.grams, avatar = EXCLUDED.avatar,
    version_at = EXCLUDED.version_at, version_id = EXCLUDED.version_id
WHERE (p.version_at, p.version_id) < (EXCLUDED.version_at, EXCLUDED.version_id);
