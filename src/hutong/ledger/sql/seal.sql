-- name: one_sealer
-- The chain has one head, so one sealer works at a time.
SELECT pg_advisory_xact_lock(x'7365616c'::bigint);

-- name: last_seal
-- The head of the chain, and the number below which no transaction is still running.
SELECT s.seq, s.to_xact, s.hash,
    db.xact_offset() + pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS settled
FROM (SELECT 1) one LEFT JOIN (
    SELECT seq, to_xact, hash FROM ledger.seal ORDER BY seq DESC LIMIT 1
) s ON true;

-- name: seal_bound
-- The end of a seal of about that many rows, always between two transactions. If fewer are left, the seal takes all
-- that is settled, records included; nothing if there is neither row nor record.
SELECT CASE
    WHEN count(x.xact) >= $3 THEN max(x.xact) + 1
    WHEN count(x.xact) > 0 OR EXISTS (SELECT 1 FROM ledger.record r WHERE r.xact >= $1 AND r.xact < $2) THEN $2
END AS to_xact
FROM (
    SELECT t.xact FROM ledger.transfer t WHERE t.xact >= $1 AND t.xact < $2 ORDER BY t.xact LIMIT $3
) x;

-- name: leaves
-- The digests of the rows that some transactions wrote, by timestamp, and of the records.
SELECT t.row_count, t.leaves, r.record_count, r.records
FROM (
    SELECT count(*)::integer AS row_count,
        coalesce(string_agg(ledger.leaf(t), ''::bytea ORDER BY t.timestamp), '') AS leaves
    FROM ledger.transfer t WHERE t.xact >= $1 AND t.xact < $2
) t, (
    SELECT count(*)::integer AS record_count,
        coalesce(string_agg(r.leaf, ''::bytea ORDER BY r.kind, r.key), '') AS records
    FROM ledger.record r WHERE r.xact >= $1 AND r.xact < $2
) r;

-- columns: seal
seq, version, from_xact, to_xact, row_count, record_count, leaves, records, hash, sealed_at

-- name: insert_seal
-- Append a seal to the chain.
INSERT INTO ledger.seal ({seal})
VALUES (
    :seq, :version, :from_xact, :to_xact, :row_count, :record_count, :leaves, :records, :hash, :sealed_at
);

-- name: first_broken_account
-- An account whose balances or version differ from those in its last row.
SELECT a.id FROM ledger.account a LEFT JOIN (
    SELECT DISTINCT ON (e.account_id) e.account_id, e.version, e.dp, e.dpo, e.cp, e.cpo FROM (
        SELECT debit_account_id AS account_id, debit_version AS version, debit_debits_pending AS dp,
            debit_debits_posted AS dpo, debit_credits_pending AS cp, debit_credits_posted AS cpo
        FROM ledger.journal
        UNION ALL
        SELECT credit_account_id, credit_version, credit_debits_pending, credit_debits_posted, credit_credits_pending,
            credit_credits_posted
        FROM ledger.journal
    ) e ORDER BY e.account_id, e.version DESC
) last ON last.account_id = a.id
WHERE (a.version, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted) IS DISTINCT FROM
    (coalesce(last.version, 0), coalesce(last.dp, 0), coalesce(last.dpo, 0), coalesce(last.cp, 0), coalesce(last.cpo, 0))
    AND NOT (last.version IS NULL AND $1::boolean)
ORDER BY a.id LIMIT 1;

-- name: first_broken_hold
-- An account whose pending sums differ from those of its open holds.
SELECT a.id FROM ledger.account a
LEFT JOIN (
    SELECT p.debit_account_id AS account_id, sum(t.amount) AS held
    FROM ledger.pending p JOIN ledger.journal t ON t.id = p.id WHERE p.state = 1 GROUP BY 1
) d ON d.account_id = a.id
LEFT JOIN (
    SELECT p.credit_account_id AS account_id, sum(t.amount) AS held
    FROM ledger.pending p JOIN ledger.journal t ON t.id = p.id WHERE p.state = 1 GROUP BY 1
) c ON c.account_id = a.id
WHERE a.debits_pending <> coalesce(d.held, 0) OR a.credits_pending <> coalesce(c.held, 0)
ORDER BY a.id LIMIT 1;

-- name: lock_partitions
-- One process at a time makes partitions: two that start at once would plan overlapping ones.
SELECT pg_advisory_xact_lock(x'6c65646765727061'::bigint);

-- name: partitions
-- The partitions made so far, newest first, each with the number of rows that it has taken.
SELECT p.name, p.low_ms, p.high_ms, p.archived_at,
    coalesce(pg_stat_get_tuples_inserted(to_regclass('ledger.' || p.name)), 0) AS inserted
FROM ledger.partition p ORDER BY p.high_ms DESC;

-- name: add_partition
-- Make one partition, for the ids of these milliseconds.
SELECT ledger.add_partition($1, $2) AS name;

-- name: anything_archived
-- Archived partitions leave gaps in the journal that are no errors.
SELECT EXISTS (SELECT 1 FROM ledger.partition WHERE archived_at IS NOT NULL) AS archived;
