-- name: claim_keys
-- Claims keys that are free, past their time, or left behind by a process that died: then the server process of its
-- connection is gone. In key order, so that two batches never deadlock.
INSERT INTO idempotency.key AS k (owner_id, key, fingerprint, claimed_at, forget_at)
SELECT DISTINCT ON (c.owner_id, c.key) c.owner_id, c.key, c.fingerprint, $4::timestamptz, $6::timestamptz
FROM unnest($1::uuid [], $2::text [], $3::bytea []) WITH ORDINALITY AS c (owner_id, key, fingerprint, place)
ORDER BY c.owner_id, c.key, c.place
ON CONFLICT (owner_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, claimed_at = excluded.claimed_at, forget_at = excluded.forget_at,
    claimed_through = excluded.claimed_through, status = NULL, body = NULL
WHERE k.forget_at < $4
    OR (
        k.status IS NULL AND k.fingerprint = excluded.fingerprint
        AND (k.claimed_at < $5 OR NOT EXISTS (SELECT FROM pg_stat_get_activity(k.claimed_through)))
    )
RETURNING k.owner_id, k.key, k.fingerprint;

-- name: read_keys
-- The answers and claims under keys that could not be claimed.
SELECT
    k.owner_id, k.key, k.fingerprint, k.status, k.body, k.claimed_at, k.forget_at,
    k.status IS NULL AND NOT EXISTS (SELECT FROM pg_stat_get_activity(k.claimed_through)) AS left_behind
FROM idempotency.key AS k
JOIN (SELECT DISTINCT owner_id, key FROM unnest($1::uuid [], $2::text []) AS c (owner_id, key)) AS c
    USING (owner_id, key);

-- name: store_answers
-- Stores answers; an answer that exists is never replaced.
UPDATE idempotency.key AS k
SET status = a.status, body = a.body
FROM unnest($1::uuid [], $2::text [], $3::integer [], $4::bytea []) AS a (owner_id, key, status, body)
WHERE k.owner_id = a.owner_id AND k.key = a.key AND k.status IS NULL
RETURNING k.owner_id, k.key;

-- name: free_keys
-- Deletes claims of the transaction that made them, since what they are answered with is not to stay.
DELETE FROM idempotency.key AS k
USING unnest($1::uuid [], $2::text []) AS f (owner_id, key)
WHERE k.owner_id = f.owner_id AND k.key = f.key AND k.status IS NULL
RETURNING k.key;

-- name: release_key
-- Lets a claim lapse. A row of its own is past its time from the start; writing it waits for a claim that may still be
-- committed.
INSERT INTO idempotency.key AS k (owner_id, key, fingerprint, claimed_at, forget_at)
VALUES ($1, $2, $3, to_timestamp(0), to_timestamp(0))
ON CONFLICT (owner_id, key) DO UPDATE
SET claimed_at = to_timestamp(0)
WHERE k.status IS NULL AND k.fingerprint = excluded.fingerprint AND k.claimed_at <= $4::timestamptz;

-- name: forget_keys
-- Deletes old keys, a few at a time, except those that another transaction uses.
DELETE FROM idempotency.key AS k
USING (
    SELECT owner_id, key FROM idempotency.key
    WHERE forget_at < $1
    ORDER BY forget_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS old
WHERE k.owner_id = old.owner_id AND k.key = old.key
RETURNING k.key;
