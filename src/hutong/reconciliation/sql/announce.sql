-- columns: merchant_statement
merchant_id uuid, reconciled bigint, pending bigint, different bigint, content text

-- name: announce_run
-- Keep what the event of a run states; a row comes back if it is something else than before.
UPDATE reconciliation.run
SET announced = :announced
WHERE id = :run_id AND announced <> :announced
RETURNING id;

-- name: lock_statements
-- Accounts announce the statements of one day one after the other, so that each event adds up those of all accounts.
SELECT pg_advisory_xact_lock(hashtextextended('merchant statements ' || $1::date, 0));

-- name: change_statements
-- The rows that an account's day has now for merchants; those of a merchant that has none any more become none. The
-- merchants for which something has changed come back.
WITH stated AS (
    SELECT {s.merchant_statement} FROM unnest({merchant_statement[]}) AS s ({merchant_statement})
),
changed AS (
    INSERT INTO reconciliation.merchant_statement AS m (account_id, day, channel, {merchant_statement})
    SELECT :account_id::uuid, :day::date, :channel::text, {s.merchant_statement} FROM stated AS s ORDER BY s.merchant_id
    ON CONFLICT (account_id, day, merchant_id) DO UPDATE SET
        reconciled = excluded.reconciled, pending = excluded.pending, different = excluded.different,
        content = excluded.content
    WHERE m.content <> excluded.content
    RETURNING m.merchant_id
),
gone AS (
    UPDATE reconciliation.merchant_statement AS m
    SET reconciled = 0, pending = 0, different = 0, content = ''
    WHERE m.account_id = :account_id AND m.day = :day AND m.content <> ''
        AND m.merchant_id NOT IN (SELECT s.merchant_id FROM stated AS s)
    RETURNING m.merchant_id
)
SELECT merchant_id FROM changed UNION ALL SELECT merchant_id FROM gone ORDER BY merchant_id;

-- name: statements_of_day
-- The rows of merchants on a day, over all accounts.
SELECT
    m.merchant_id, sum(m.reconciled)::bigint AS reconciled, sum(m.pending)::bigint AS pending,
    sum(m.different)::bigint AS different, array_agg(DISTINCT m.channel) AS channels
FROM reconciliation.merchant_statement AS m
WHERE m.day = :day AND m.merchant_id = ANY (:merchant_ids::uuid[])
GROUP BY m.merchant_id
ORDER BY m.merchant_id;
