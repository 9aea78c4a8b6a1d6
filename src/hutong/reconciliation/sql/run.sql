-- columns: run
id AS run_id, account_id, day, inputs, engine, totals, explained_ppm, finished_at

-- name: list_runs
-- The latest days first.
SELECT {r.run}
FROM reconciliation.run AS r
WHERE
    (:account_id::uuid IS NULL OR r.account_id = :account_id)
    AND (:day::date IS NULL OR r.day = :day)
    AND (:before::uuid IS NULL OR r.id < :before)
ORDER BY r.id DESC
LIMIT :limit;

-- name: find_run
-- The last run of an account's day.
SELECT {r.run}
FROM reconciliation.run AS r
WHERE r.account_id = $1 AND r.day = $2;

-- name: run_days
-- The days of an account that were run: the one before a day, and those from it on.
SELECT r.day
FROM reconciliation.run AS r
WHERE
    r.account_id = $1
    AND r.day >= coalesce(
        (SELECT max(e.day) FROM reconciliation.run AS e WHERE e.account_id = $1 AND e.day < $2), $2
    )
ORDER BY r.day;

-- name: lock_run
-- Two runs of one account are booked one after the other, whatever machine they are on.
SELECT pg_advisory_xact_lock(hashtextextended('reconciliation ' || $1::uuid, 0));

-- name: keep_run
-- The run of a day; another one of the same day takes its place.
INSERT INTO reconciliation.run (id, account_id, day, inputs, engine, totals, explained_ppm, finished_at)
VALUES (:run_id, :account_id, :day, :inputs, :engine, :totals, :explained_ppm, :finished_at)
ON CONFLICT (account_id, day) DO UPDATE SET
    inputs = excluded.inputs,
    engine = excluded.engine,
    totals = excluded.totals,
    explained_ppm = excluded.explained_ppm,
    finished_at = excluded.finished_at
RETURNING {run};

-- name: statements_after
-- Of each bank account, the first run whose statement may pay what a bill of this day promises.
SELECT r.account_id, min(r.day) AS day
FROM reconciliation.run AS r
INNER JOIN reconciliation.bank_account AS b ON b.id = r.account_id
WHERE r.day > $1
GROUP BY r.account_id
ORDER BY r.account_id;

-- columns: matched_total
layer text, merchant text, kind text, currency text, pairs bigint, settled_minor bigint, fee_minor bigint

-- name: matched_totals
-- What has been booked for the matched rows of a day.
SELECT {t.matched_total}
FROM reconciliation.matched_total AS t
WHERE t.account_id = $1 AND t.day = $2
ORDER BY t.layer, t.merchant, t.kind, t.currency;

-- name: drop_matched_totals
-- Another run counts them from the start.
DELETE FROM reconciliation.matched_total
WHERE account_id = $1 AND day = $2;

-- name: keep_matched_totals
-- What is booked now for the matched rows of a day.
INSERT INTO reconciliation.matched_total (account_id, day, {matched_total})
SELECT :account_id, :day, {t.matched_total}
FROM unnest({matched_total[]}) AS t ({matched_total});
