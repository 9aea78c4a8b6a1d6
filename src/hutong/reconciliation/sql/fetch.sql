-- columns: fetch
account_id, kind, day, fetches, next_at, error, done_at

-- name: last_planned_days
-- Of each account, the last day whose bill is to be fetched or was.
SELECT f.account_id, max(f.day) AS day
FROM reconciliation.fetch AS f
GROUP BY f.account_id;

-- name: plan_fetches
-- Bills that are to be fetched from now on.
INSERT INTO reconciliation.fetch (account_id, kind, day, next_at)
SELECT u.account_id, u.kind, u.day, u.next_at
FROM unnest(:account_id::uuid[], :kind::text[], :day::date[], :next_at::timestamptz[]) AS u (account_id, kind, day, next_at)
ON CONFLICT DO NOTHING;

-- name: claim_fetches
-- The bills that are due. Each is put off at once, so that no other worker fetches it as well.
UPDATE reconciliation.fetch AS f
SET fetches = f.fetches + 1, next_at = :again_at
FROM (
    SELECT d.account_id, d.kind, d.day
    FROM reconciliation.fetch AS d
    WHERE d.done_at IS NULL AND d.next_at <= :now
    ORDER BY d.day, d.account_id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
) AS due
WHERE f.account_id = due.account_id AND f.kind = due.kind AND f.day = due.day
RETURNING {f.fetch};

-- name: start_fetch
-- A bill that somebody wants now, whether it was fetched before or not.
INSERT INTO reconciliation.fetch (account_id, kind, day, fetches, next_at)
VALUES (:account_id, :kind, :day, 1, :again_at)
ON CONFLICT (account_id, kind, day) DO UPDATE SET fetches = reconciliation.fetch.fetches + 1
RETURNING {fetch};

-- name: end_fetch
-- The bill has come, or is given up; then the error stays.
UPDATE reconciliation.fetch
SET done_at = :at, error = :error
WHERE account_id = :account_id AND kind = :kind AND day = :day;

-- name: put_off_fetch
-- The channel has not given the bill; it is asked again.
UPDATE reconciliation.fetch
SET next_at = :next_at, error = :error
WHERE account_id = :account_id AND kind = :kind AND day = :day AND done_at IS NULL;

-- name: list_fetches
-- The latest days first.
SELECT {f.fetch}
FROM reconciliation.fetch AS f
WHERE (:account_id::uuid IS NULL OR f.account_id = :account_id) AND (NOT :open_only::boolean OR f.done_at IS NULL OR f.error IS NOT NULL)
ORDER BY f.day DESC, f.account_id
LIMIT :limit;

-- name: unfetched_bills
-- Bills that their channels were asked for and have not given, given up or not, and that nobody has imported.
SELECT count(*) AS count, min(f.day) AS oldest_day
FROM reconciliation.fetch AS f
WHERE f.error IS NOT NULL AND NOT EXISTS (
    SELECT FROM reconciliation.file AS i
    WHERE i.account_id = f.account_id AND i.day = f.day AND i.state IN ('parsed', 'matched', 'closed')
);

-- name: fetched
-- Whether the bill of a day has come, be it an empty one.
SELECT EXISTS (
    SELECT
    FROM reconciliation.fetch AS f
    WHERE f.account_id = $1 AND f.day = $2 AND f.done_at IS NOT NULL AND f.error IS NULL
);
