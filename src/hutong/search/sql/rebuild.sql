-- name: one_snapshot
-- Everything that this transaction reads is as of one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: lock_projection
-- Keep every projection out until `unlock_projection`, for longer than one transaction.
SELECT pg_advisory_lock(hashtext('hutong.search'));

-- name: unlock_projection
-- Let projections continue.
SELECT pg_advisory_unlock(hashtext('hutong.search'));

-- name: empty_shadow
-- Start a rebuild with nothing, or free the space of the rows that a rebuild has replaced.
TRUNCATE search_shadow.watermark, search_shadow.payment_record, search_shadow.refund, search_shadow.profile;

-- name: analyze_shadow
-- The planner knows nothing yet about tables that were filled in one go.
ANALYZE search_shadow.payment_record, search_shadow.refund, search_shadow.profile;

-- name: move_live_aside
-- The first of three steps in which the two schemas trade places.
ALTER SCHEMA search RENAME TO search_former;

-- name: make_shadow_live
-- The second step.
ALTER SCHEMA search_shadow RENAME TO search;

-- name: make_former_shadow
-- The third step.
ALTER SCHEMA search_former RENAME TO search_shadow;

-- name: digest_schema
-- A schema's contents as two values: equal digests mean rows that are equal byte for byte.
SELECT
    (SELECT count(*) FROM payment_record) AS records,
    encode(sha256(
        coalesce((
            SELECT string_agg(sha256(convert_to(b::text, 'UTF8')), ''::bytea ORDER BY b.payment_id)
            FROM payment_record AS b
        ), '')
        || coalesce((SELECT string_agg(sha256(convert_to(r::text, 'UTF8')), ''::bytea ORDER BY r.refund_id) FROM refund AS r), '')
        || coalesce((
            SELECT string_agg(sha256(convert_to(p::text, 'UTF8')), ''::bytea ORDER BY p.merchant_id, p.customer_id COLLATE "C")
            FROM profile AS p
        ), '')
    ), 'hex') AS value;
