-- name: add_refusals
-- Written apart from the payments, so that no refusal waits for it.
INSERT INTO routing.refusal (at, record)
SELECT r.at, r.record
FROM unnest($1::timestamptz [], $2::text []) AS r (at, record);

-- name: refusals_between
-- The decisions of a span of time without an account, in order of time.
SELECT record
FROM routing.refusal
WHERE at >= $1 AND at < $2
ORDER BY at, id;

-- name: delete_refusals
-- Refusals that are too old to be replayed.
DELETE FROM routing.refusal
WHERE at < $1;
