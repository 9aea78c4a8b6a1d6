-- name: add_refusals
-- Beside the payments: who is refused does not wait for this.
INSERT INTO routing.refusal (at, record)
SELECT r.at, r.record
FROM unnest($1::timestamptz [], $2::text []) AS r (at, record);

-- name: refusals_between
-- The decisions of a span of time that found no way, in its order.
SELECT record
FROM routing.refusal
WHERE at >= $1 AND at < $2
ORDER BY at, id;

-- name: forget_refusals
-- What nobody rehearses any more.
DELETE FROM routing.refusal
WHERE at < $1;
