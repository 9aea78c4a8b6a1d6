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
-- The end of a seal of about that many rows: always between two transactions.
SELECT max(x.xact) + 1 AS to_xact FROM (
    SELECT t.xact FROM ledger.transfer t WHERE t.xact >= $1 AND t.xact < $2 ORDER BY t.xact LIMIT $3
) x;

-- name: leaves
-- The digests of the rows that some transactions wrote, by timestamp.
SELECT count(*)::integer AS row_count, coalesce(string_agg(ledger.leaf(t), ''::bytea ORDER BY t.timestamp), '') AS leaves
FROM ledger.transfer t WHERE t.xact >= $1 AND t.xact < $2;

-- name: insert_seal
-- Append a seal to the chain.
INSERT INTO ledger.seal (seq, from_xact, to_xact, row_count, leaves, hash, sealed_at) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: seals
-- The whole chain from its beginning, each seal with the current digests of its rows.
SELECT s.seq, s.from_xact, s.to_xact, s.row_count, s.leaves, s.hash, (
    SELECT coalesce(string_agg(ledger.leaf(ROW(t.*)::ledger.transfer), ''::bytea ORDER BY t.timestamp), '')
    FROM ledger.journal t WHERE t.xact >= s.from_xact AND t.xact < s.to_xact
) AS leaves_now
FROM ledger.seal s ORDER BY s.seq;

-- name: ids_of_seal
-- The ids of the rows under a seal that does not hold, in the order of its leaves.
SELECT t.id FROM ledger.journal t WHERE t.xact >= $1 AND t.xact < $2 ORDER BY t.timestamp;

-- name: first_broken_step
-- The first row whose version or balances do not follow from the previous row of the same account. If that row is in the
-- archive, there is nothing to compare with.
WITH entry AS (
    SELECT t.id, t.timestamp, t.debit_account_id AS account_id, t.debit_version AS version,
        t.debit_debits_pending AS debits_pending, t.debit_debits_posted AS debits_posted,
        t.debit_credits_pending AS credits_pending, t.debit_credits_posted AS credits_posted,
        CASE WHEN t.flags & 2 <> 0 THEN t.amount WHEN t.flags & 32780 <> 0 THEN -h.amount ELSE 0 END AS pending_change,
        CASE WHEN t.flags & 32778 <> 0 THEN 0 ELSE t.amount END AS posted_change, true AS is_debit
    FROM ledger.journal t LEFT JOIN ledger.journal h ON t.pending_id <> ledger.nil() AND h.id = t.pending_id
    UNION ALL
    SELECT t.id, t.timestamp, t.credit_account_id, t.credit_version,
        t.credit_debits_pending, t.credit_debits_posted, t.credit_credits_pending, t.credit_credits_posted,
        CASE WHEN t.flags & 2 <> 0 THEN t.amount WHEN t.flags & 32780 <> 0 THEN -h.amount ELSE 0 END,
        CASE WHEN t.flags & 32778 <> 0 THEN 0 ELSE t.amount END, false
    FROM ledger.journal t LEFT JOIN ledger.journal h ON t.pending_id <> ledger.nil() AND h.id = t.pending_id
), step AS (
    SELECT e.id, e.timestamp, e.account_id, e.version, e.debits_pending, e.debits_posted, e.credits_pending,
        e.credits_posted, e.pending_change, e.posted_change, e.is_debit,
        lag(e.version) OVER w AS old_version, lag(e.timestamp) OVER w AS old_timestamp,
        coalesce(lag(e.debits_pending) OVER w, 0) AS old_debits_pending,
        coalesce(lag(e.debits_posted) OVER w, 0) AS old_debits_posted,
        coalesce(lag(e.credits_pending) OVER w, 0) AS old_credits_pending,
        coalesce(lag(e.credits_posted) OVER w, 0) AS old_credits_posted
    FROM entry e WINDOW w AS (PARTITION BY e.account_id ORDER BY e.version)
)
SELECT s.id, s.account_id, s.version, CASE
    WHEN s.version <> coalesce(s.old_version, 0) + 1 THEN 'a version is missing or doubled'
    WHEN s.timestamp <= s.old_timestamp THEN 'the timestamp does not rise'
    ELSE 'the balance does not follow from the previous one' END AS problem
FROM step s
WHERE NOT (s.old_version IS NULL AND s.version > 1 AND $1::boolean) AND (
    s.version <> coalesce(s.old_version, 0) + 1
    OR s.timestamp <= s.old_timestamp
    OR s.debits_pending <> s.old_debits_pending + CASE WHEN s.is_debit THEN s.pending_change ELSE 0 END
    OR s.debits_posted <> s.old_debits_posted + CASE WHEN s.is_debit THEN s.posted_change ELSE 0 END
    OR s.credits_pending <> s.old_credits_pending + CASE WHEN s.is_debit THEN 0 ELSE s.pending_change END
    OR s.credits_posted <> s.old_credits_posted + CASE WHEN s.is_debit THEN 0 ELSE s.posted_change END
)
ORDER BY s.timestamp LIMIT 1;

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
