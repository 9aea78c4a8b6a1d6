-- name: keep_out
-- Keeps all applying out until `let_in`, longer than one transaction.
SELECT pg_advisory_lock(hashtext('hutong.search'));

-- name: let_in
-- The opposite.
SELECT pg_advisory_unlock(hashtext('hutong.search'));

-- name: empty_beside
-- Begins anew, or frees the space of what has been replaced.
TRUNCATE query_rebuild.watermark, query_rebuild.bill, query_rebuild.refund, query_rebuild.profile;

-- name: gather_statistics
-- What was filled in one go is not known to the planner yet.
ANALYZE query_rebuild.bill, query_rebuild.refund, query_rebuild.profile;

-- name: rename_live
-- The first of three steps in which the two trade places.
ALTER SCHEMA query RENAME TO query_former;

-- name: rename_beside
-- The second.
ALTER SCHEMA query_rebuild RENAME TO query;

-- name: rename_former
-- The third.
ALTER SCHEMA query_former RENAME TO query_rebuild;

-- name: digest_house
-- All that a house holds in two values: equal digests mean rows equal byte for byte.
SELECT
    (SELECT count(*) FROM bill) AS bills,
    encode(sha256(
        coalesce((SELECT string_agg(sha256(convert_to(b::text, 'UTF8')), ''::bytea ORDER BY b.payment_id) FROM bill AS b), '')
        || coalesce((SELECT string_agg(sha256(convert_to(r::text, 'UTF8')), ''::bytea ORDER BY r.refund_id) FROM refund AS r), '')
        || coalesce((
            SELECT string_agg(sha256(convert_to(p::text, 'UTF8')), ''::bytea ORDER BY p.merchant_id, p.customer_id COLLATE "C")
            FROM profile AS p
        ), '')
    ), 'hex') AS digest;
