-- name: seals
-- Seals from one on, each with the current digests of the rows and records that it covers.
SELECT {s.seal}, (
    SELECT coalesce(string_agg(ledger.leaf(ROW(t.*)::ledger.transfer), ''::bytea ORDER BY t.timestamp), '')
    FROM ledger.journal t WHERE t.xact >= s.from_xact AND t.xact < s.to_xact
) AS leaves_now, (
    SELECT coalesce(string_agg(r.leaf, ''::bytea ORDER BY r.kind, r.key), '')
    FROM ledger.record r WHERE r.xact >= s.from_xact AND r.xact < s.to_xact AND s.version > 1
) AS records_now
FROM ledger.seal s WHERE s.seq > $1 ORDER BY s.seq;

-- name: leaves_of_seal
-- The rows under a seal that does not hold, in the order of its leaves.
SELECT 'row ' || t.id AS subject, ledger.leaf(ROW(t.*)::ledger.transfer) AS leaf
FROM ledger.journal t WHERE t.xact >= $1 AND t.xact < $2 ORDER BY t.timestamp;

-- name: records_of_seal
-- The records under a seal that does not hold, in the order of their digests.
SELECT r.kind || ' ' || r.key AS subject, r.leaf
FROM ledger.record r WHERE r.xact >= $1 AND r.xact < $2 ORDER BY r.kind, r.key;

-- name: seal_of_hash
-- The place of a head in the chain.
SELECT seq, to_xact FROM ledger.seal WHERE hash = $1;

-- name: heads_not_in_chain
-- Those of these heads that no seal has.
SELECT h.hash FROM unnest($1::bytea[]) h (hash) WHERE NOT EXISTS (SELECT 1 FROM ledger.seal s WHERE s.hash = h.hash);

-- name: newest_seal
-- The head of the chain, to be kept elsewhere.
SELECT seq, hash, sealed_at FROM ledger.seal ORDER BY seq DESC LIMIT 1;

-- name: steady_snapshot
-- Whatever is written meanwhile, this transaction sees one state of the books, and writes nothing.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: chain_end
-- The head of the chain, and the number of rows after it.
SELECT s.seq, s.hash, (SELECT count(*) FROM ledger.transfer t WHERE t.xact >= coalesce(s.to_xact, 0)) AS unsealed
FROM (SELECT 1) one LEFT JOIN (SELECT seq, hash, to_xact FROM ledger.seal ORDER BY seq DESC LIMIT 1) s ON true;

-- name: first_closed_day
-- The first day that was ever closed; it has the rows of all days before.
SELECT min(c.day) FROM ledger.day_cut c WHERE c.step = 'finished';

-- name: rows_outside_of_seals
-- Rows and records with numbers that no transaction has had: no seal ever covers them.
SELECT x.subject, 'its transaction ' || x.xact || ' never was' AS detail
FROM (
    SELECT 'row ' || t.id AS subject, t.xact FROM ledger.journal t WHERE t.xact < 0 OR t.xact >= :next_xact
    UNION ALL
    SELECT r.kind || ' ' || r.key, r.xact FROM ledger.record r WHERE r.xact < 0 OR r.xact >= :next_xact
) x ORDER BY x.subject LIMIT :most;

-- name: next_xact
-- The number that no transaction has reached yet.
SELECT db.xact_offset() + pg_snapshot_xmax(pg_current_snapshot())::text::bigint;

-- name: first_whole_day
-- The first day of which no row lies under the seals up to one: dates rise with the numbers of transactions.
SELECT coalesce((
    SELECT max(t.accounting_date) + 1
    FROM (
        SELECT s.from_xact, s.to_xact FROM ledger.seal s
        WHERE s.seq <= $1 AND s.row_count > 0 ORDER BY s.seq DESC LIMIT 1
    ) s
    JOIN ledger.journal t ON t.xact >= s.from_xact AND t.xact < s.to_xact
), '-infinity'::date);

-- name: sort_in_memory
-- What this transaction may use to sort and join.
SELECT set_config('work_mem', $1, true);

-- columns: entry
-- What a row does to one of its accounts: debits and credits, pending and posted, after it, and how it changes them.
id, account_id, version, is_debit, timestamp, flags, ledger, day, dp, dpo, cp, cpo, held, posted

-- name: wrong_steps
-- Every row from a transaction on against the row before it on the same account, in one sorted pass; then the last row of
-- each account against the account, and the last of each closed day against the balance of that day. Rows before the
-- first cut belong to the first day. An imported row may be older than the expiry of a hold before it: no client made that.
WITH entry AS (
    SELECT t.id, t.debit_account_id AS account_id, t.debit_version AS version, true AS is_debit, t.timestamp, t.flags,
        t.ledger, greatest(t.accounting_date, :first_day::date) AS day, t.debit_debits_pending AS dp,
        t.debit_debits_posted AS dpo, t.debit_credits_pending AS cp, t.debit_credits_posted AS cpo,
        CASE WHEN t.flags & 2 <> 0 THEN t.amount
            WHEN t.flags & 32780 <> 0 THEN -(SELECT h.amount FROM ledger.journal h WHERE h.id = t.pending_id)
            ELSE 0 END AS held,
        CASE WHEN t.flags & 32778 <> 0 THEN 0 ELSE t.amount END AS posted
    FROM ledger.journal t WHERE t.flags < 65536 AND t.xact >= :from_xact
    UNION ALL
    SELECT t.id, t.credit_account_id, t.credit_version, false, t.timestamp, t.flags,
        t.ledger, greatest(t.accounting_date, :first_day::date), t.credit_debits_pending,
        t.credit_debits_posted, t.credit_credits_pending, t.credit_credits_posted,
        CASE WHEN t.flags & 2 <> 0 THEN t.amount
            WHEN t.flags & 32780 <> 0 THEN -(SELECT h.amount FROM ledger.journal h WHERE h.id = t.pending_id)
            ELSE 0 END,
        CASE WHEN t.flags & 32778 <> 0 THEN 0 ELSE t.amount END
    FROM ledger.journal t WHERE t.flags < 65536 AND t.xact >= :from_xact
), step AS (
    SELECT {e.entry}, lag(e.version) OVER w AS version0, lag(e.timestamp) OVER w AS timestamp0,
        lag(e.flags) OVER w AS flags0, lag(e.dp) OVER w AS dp0, lag(e.dpo) OVER w AS dpo0, lag(e.cp) OVER w AS cp0,
        lag(e.cpo) OVER w AS cpo0, lead(e.day) OVER w AS day1
    FROM entry e WINDOW w AS (PARTITION BY e.account_id ORDER BY e.version)
), kept AS MATERIALIZED (
    SELECT {s.entry}, s.version0, s.timestamp0, s.flags0, s.dp0, s.dpo0, s.cp0, s.cpo0, s.day1
    FROM step s
    WHERE s.day1 IS NULL OR s.day1 <> s.day OR s.version0 IS NULL OR s.version <> s.version0 + 1
        OR s.timestamp <= s.timestamp0 OR s.held IS NULL
        OR s.dp <> s.dp0 + CASE WHEN s.is_debit THEN s.held ELSE 0 END
        OR s.dpo <> s.dpo0 + CASE WHEN s.is_debit THEN s.posted ELSE 0 END
        OR s.cp <> s.cp0 + CASE WHEN s.is_debit THEN 0 ELSE s.held END
        OR s.cpo <> s.cpo0 + CASE WHEN s.is_debit THEN 0 ELSE s.posted END
), compared AS (
    SELECT {k.entry}, coalesce(k.version0, p.version, 0) AS version0, coalesce(k.timestamp0, p.timestamp) AS timestamp0,
        coalesce(k.flags0, p.flags, 0) AS flags0, coalesce(k.dp0, p.dp, 0) AS dp0, coalesce(k.dpo0, p.dpo, 0) AS dpo0,
        coalesce(k.cp0, p.cp, 0) AS cp0, coalesce(k.cpo0, p.cpo, 0) AS cpo0
    FROM kept k LEFT JOIN LATERAL (
        SELECT t.debit_version AS version, t.timestamp, t.flags, t.debit_debits_pending AS dp,
            t.debit_debits_posted AS dpo, t.debit_credits_pending AS cp, t.debit_credits_posted AS cpo
        FROM ledger.journal t
        WHERE t.debit_account_id = k.account_id AND t.debit_version = k.version - 1 AND t.xact < :from_xact
        UNION ALL
        SELECT t.credit_version, t.timestamp, t.flags, t.credit_debits_pending, t.credit_debits_posted,
            t.credit_credits_pending, t.credit_credits_posted
        FROM ledger.journal t
        WHERE t.credit_account_id = k.account_id AND t.credit_version = k.version - 1 AND t.xact < :from_xact
    ) p ON k.version0 IS NULL AND k.version > 1
), day_end AS (
    SELECT k.account_id, k.day, k.dpo, k.cpo FROM kept k
    WHERE (k.day1 IS NULL OR k.day1 <> k.day)
        AND k.day <= (SELECT max(c.day) FROM ledger.day_cut c WHERE c.step = 'finished')
), broken (subject, detail) AS MATERIALIZED (
    SELECT 'row ' || c.id, CASE
            WHEN c.version <> c.version0 + 1 THEN 'a version is missing or doubled'
            WHEN c.held IS NULL THEN 'it resolves a hold that is gone'
            WHEN c.timestamp <= c.timestamp0 THEN 'the timestamp does not rise'
            ELSE 'the balance does not follow from the previous one'
        END || ' (account ' || c.account_id || ', version ' || c.version || ')'
    FROM compared c
    WHERE c.version <> c.version0 + 1 OR c.held IS NULL
        OR (c.timestamp <= c.timestamp0 AND NOT (c.flags & 256 <> 0 AND c.flags0 & 32768 <> 0))
        OR c.dp <> c.dp0 + CASE WHEN c.is_debit THEN c.held ELSE 0 END
        OR c.dpo <> c.dpo0 + CASE WHEN c.is_debit THEN c.posted ELSE 0 END
        OR c.cp <> c.cp0 + CASE WHEN c.is_debit THEN 0 ELSE c.held END
        OR c.cpo <> c.cpo0 + CASE WHEN c.is_debit THEN 0 ELSE c.posted END
), astray (subject, detail) AS MATERIALIZED (
    SELECT 'row ' || k.id, CASE WHEN a.id IS NULL THEN 'its account ' || k.account_id || ' does not exist'
        ELSE 'its account ' || k.account_id || ' is of another ledger' END
    FROM kept k LEFT JOIN ledger.account a ON a.id = k.account_id
    WHERE k.day1 IS NULL AND (a.id IS NULL OR a.ledger <> k.ledger)
), apart (subject, detail) AS MATERIALIZED (
    SELECT 'account ' || a.id, 'its balances differ from those in its last row'
    FROM ledger.account a LEFT JOIN kept k ON k.account_id = a.id AND k.day1 IS NULL
    WHERE (a.version, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted)
        IS DISTINCT FROM (
            coalesce(k.version, 0), coalesce(k.dp, 0), coalesce(k.dpo, 0), coalesce(k.cp, 0), coalesce(k.cpo, 0)
        )
        AND (:is_whole::boolean OR k.account_id IS NOT NULL)
), day_apart (subject, detail) AS MATERIALIZED (
    SELECT 'account ' || e.account_id, 'its balance of the day ' || e.day || ' is not that of its rows'
    FROM day_end e
    LEFT JOIN ledger.day_balance b ON b.account_id = e.account_id AND b.day = e.day
    LEFT JOIN LATERAL (
        SELECT c.closing_debits, c.closing_credits FROM ledger.day_balance c
        WHERE b.day IS NULL AND c.account_id = e.account_id AND c.day < e.day ORDER BY c.day DESC LIMIT 1
    ) c ON true
    WHERE (e.dpo, e.cpo) IS DISTINCT FROM (coalesce(b.closing_debits, c.closing_debits, 0),
        coalesce(b.closing_credits, c.closing_credits, 0))
), day_without_row (subject, detail) AS MATERIALIZED (
    SELECT 'account ' || b.account_id, 'its balance of the day ' || b.day || ' has no row'
    FROM ledger.day_balance b LEFT JOIN day_end e ON e.account_id = b.account_id AND e.day = b.day
    WHERE e.day IS NULL AND b.day >= :since_day
        AND b.day <= (SELECT max(c.day) FROM ledger.day_cut c WHERE c.step = 'finished')
        AND (:is_whole OR NOT EXISTS (
            SELECT 1 FROM ledger.journal t WHERE t.debit_account_id = b.account_id AND t.accounting_date = b.day
        ) AND NOT EXISTS (
            SELECT 1 FROM ledger.journal t WHERE t.credit_account_id = b.account_id AND t.accounting_date = b.day
        ))
)
(SELECT subject, detail FROM broken ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM astray ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM apart ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM day_apart ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM day_without_row ORDER BY subject LIMIT :most);

-- name: wrong_days
-- The balances of closed days: each begins where the last one ended, and subjects are the sums of their accounts.
WITH finished AS (
    SELECT c.day, lag(c.day) OVER (ORDER BY c.day) AS day0 FROM ledger.day_cut c WHERE c.step = 'finished'
), chained AS (
    SELECT b.account_id, b.day, {b.day_sums},
        coalesce(lag(b.closing_debits) OVER w, 0) AS debits0, coalesce(lag(b.closing_credits) OVER w, 0) AS credits0
    FROM ledger.day_balance b WINDOW w AS (PARTITION BY b.account_id ORDER BY b.day)
), moved AS (
    SELECT b.day, b.ledger, b.code, sum(b.debits) AS debits, sum(b.credits) AS credits
    FROM ledger.day_balance b WHERE b.day >= :since_day GROUP BY b.day, b.ledger, b.code
), subject AS (
    SELECT s.day, {s.day_sums}, coalesce(lag(s.closing_debits) OVER w, 0) AS debits0,
        coalesce(lag(s.closing_credits) OVER w, 0) AS credits0, lead(s.day) OVER w AS day1
    FROM ledger.day_subject s WINDOW w AS (PARTITION BY s.ledger, s.code ORDER BY s.day)
), day_uneven (subject, detail) AS MATERIALIZED (
    SELECT 'account ' || c.account_id, 'its balance of the day ' || c.day || ' does not add up'
    FROM chained c LEFT JOIN ledger.account a ON a.id = c.account_id
    WHERE c.day >= :since_day AND (
        (c.opening_debits, c.opening_credits) <> (c.debits0, c.credits0)
        OR (c.closing_debits, c.closing_credits) <> (c.opening_debits + c.debits, c.opening_credits + c.credits)
        OR (a.ledger, a.code) IS DISTINCT FROM (c.ledger, c.code)
    )
), subject_uneven (subject, detail) AS MATERIALIZED (
    SELECT 'subject ' || coalesce(s.code, m.code) || ' of ledger ' || coalesce(s.ledger, m.ledger),
        'its balance of the day ' || coalesce(s.day, m.day) || ' is not that of its accounts'
    FROM subject s FULL JOIN moved m ON m.day = s.day AND m.ledger = s.ledger AND m.code = s.code
    WHERE coalesce(s.day, m.day) >= :since_day AND (
        s.day IS NULL
        OR (s.debits, s.credits) <> (coalesce(m.debits, 0), coalesce(m.credits, 0))
        OR (s.opening_debits, s.opening_credits) <> (s.debits0, s.credits0)
        OR (s.closing_debits, s.closing_credits) <> (s.opening_debits + s.debits, s.opening_credits + s.credits)
        OR (s.day < (SELECT max(f.day) FROM finished f) AND s.day1 IS DISTINCT FROM s.day + 1)
    )
), day_missing (subject, detail) AS MATERIALIZED (
    SELECT 'day ' || f.day, 'the day before it was not closed' FROM finished f WHERE f.day <> f.day0 + 1
)
(SELECT subject, detail FROM day_uneven ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM subject_uneven ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM day_missing ORDER BY subject LIMIT :most)
UNION ALL
SELECT 'day ' || coalesce(y.batch_date::text, 'none'), 'it is not the last closed day'
FROM ledger.accounting_day y WHERE y.batch_date IS DISTINCT FROM (SELECT max(f.day) FROM finished f);

-- name: wrong_special_rows
-- Holds with their states and ends, reversals and closings with their records, and failed ids: what the rows say of each
-- other.
WITH special AS MATERIALIZED (
    SELECT t.id, t.pending_id, t.flags, t.code, t.amount, t.debit_account_id, t.credit_account_id, t.timestamp,
        t.timeout
    FROM ledger.journal t
    WHERE t.xact >= :from_xact AND (t.flags & 98318 <> 0 OR t.code IN (:reversal_code, :month_code, :year_code))
), ended AS (
    SELECT s.pending_id AS id, count(*) AS times,
        min(CASE WHEN s.flags & 4 <> 0 THEN 2 WHEN s.flags & 8 <> 0 THEN 3 ELSE 4 END) AS state
    FROM special s WHERE s.flags & 98316 BETWEEN 4 AND 32768 GROUP BY s.pending_id
), hold_apart (subject, detail) AS MATERIALIZED (
    SELECT 'hold ' || h.id, CASE
            WHEN p.id IS NULL THEN 'its state is gone'
            WHEN e.times > 1 THEN 'it was resolved twice'
            WHEN p.state <> coalesce(e.state, 1) THEN 'its state is not what its rows say'
            ELSE 'its accounts or its end are not those of its row'
        END
    FROM special h LEFT JOIN ledger.pending p ON p.id = h.id LEFT JOIN ended e ON e.id = h.id
    WHERE h.flags & 2 <> 0 AND (
        p.id IS NULL OR e.times > 1 OR p.state <> coalesce(e.state, 1)
        OR (p.debit_account_id, p.credit_account_id) <> (h.debit_account_id, h.credit_account_id)
        OR p.expires_at <> CASE WHEN h.timeout > 0 THEN h.timestamp + h.timeout * 1000000000 ELSE 0 END
    )
), resolution_apart (subject, detail) AS MATERIALIZED (
    SELECT 'hold ' || e.id,
        CASE WHEN p.id IS NULL THEN 'its state is gone' ELSE 'its state is not what its rows say' END
    FROM ended e LEFT JOIN ledger.pending p ON p.id = e.id
    WHERE p.state IS DISTINCT FROM e.state
        AND NOT EXISTS (SELECT 1 FROM special h WHERE h.id = e.id AND h.flags & 2 <> 0)
), hold_without_row (subject, detail) AS MATERIALIZED (
    SELECT 'hold ' || p.id, 'it has no row'
    FROM ledger.pending p LEFT JOIN special h ON h.id = p.id AND h.flags & 2 <> 0
    WHERE h.id IS NULL AND (:is_whole::boolean OR NOT EXISTS (
        SELECT 1 FROM ledger.journal t WHERE t.id = p.id AND t.flags & 2 <> 0
    ))
), unrecorded (subject, detail) AS MATERIALIZED (
    SELECT 'row ' || s.id, CASE WHEN s.code = :reversal_code THEN 'it is a reversal without a record'
        ELSE 'it closes a period without a record' END
    FROM special s
    WHERE s.code IN (:reversal_code, :month_code, :year_code) AND s.flags < 32768
        AND NOT EXISTS (SELECT 1 FROM ledger.reversal r WHERE r.reversal_id = s.id AND s.code = :reversal_code)
        AND NOT EXISTS (SELECT 1 FROM ledger.period_carry c WHERE c.transfer_id = s.id AND s.code <> :reversal_code)
), strange (subject, detail) AS MATERIALIZED (
    SELECT 'row ' || s.id, 'it is not a failed id, and not a transfer either'
    FROM special s
    WHERE s.flags >= 32768 AND NOT (s.flags = 32768 AND s.pending_id <> ledger.nil()) AND NOT (
        s.flags = 98304 AND s.amount = 0 AND s.debit_account_id = ledger.nil() AND s.credit_account_id = ledger.nil()
    )
)
(SELECT subject, detail FROM hold_apart ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM resolution_apart ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM hold_without_row ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM unrecorded ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM strange ORDER BY subject LIMIT :most);

-- name: wrong_reversals
-- Records of reversals whose two rows are not each other's opposites.
SELECT 'reversal of ' || r.transfer_id AS subject,
    CASE WHEN t.id IS NULL OR o.id IS NULL THEN 'one of its rows is gone'
        ELSE 'its rows are not opposites' END AS detail
FROM ledger.reversal r
LEFT JOIN ledger.journal t ON t.id = r.transfer_id
LEFT JOIN ledger.journal o ON o.id = r.reversal_id
WHERE r.xact >= :from_xact AND ((t.debit_account_id, t.credit_account_id, t.amount)
    IS DISTINCT FROM (o.credit_account_id, o.debit_account_id, o.amount) OR t.id IS NULL)
ORDER BY r.transfer_id LIMIT :most;

-- name: wrong_accounts
-- Accounts against the journal of their changes: what never changes is that of the first record, the limits are those
-- of the last, and each change of an overdraft limit begins where the one before ended.
WITH opened AS (
    SELECT DISTINCT ON (c.account_id) c.account_id, c.ledger, c.code, c.flags, c.timestamp, c.user_data_128,
        c.user_data_64, c.user_data_32
    FROM ledger.account_change c ORDER BY c.account_id, c.id
), latest AS (
    SELECT DISTINCT ON (c.account_id) c.account_id, c.flags, c.overdraft_limit
    FROM ledger.account_change c ORDER BY c.account_id, c.id DESC
), agreed AS (
    SELECT o.id, o.account_id, o.old_limit, o.new_limit,
        coalesce(lag(o.new_limit) OVER w, 0) AS limit0, lead(o.id) OVER w AS next_id
    FROM ledger.overdraft_change o WINDOW w AS (PARTITION BY o.account_id ORDER BY o.id)
), changed (subject, detail) AS MATERIALIZED (
    SELECT 'account ' || coalesce(a.id, o.account_id), CASE
            WHEN a.id IS NULL THEN 'it is gone'
            WHEN o.account_id IS NULL THEN 'no record says that it was opened'
            WHEN a.overdraft_limit <> l.overdraft_limit THEN 'its overdraft limit was changed without a record'
            WHEN a.flags <> l.flags THEN 'its flags were changed without a record'
            WHEN a.flags & ~32 <> o.flags & ~32 THEN 'its limits are not those that it was opened with'
            ELSE 'its owner, ledger, code or time is not that with which it was opened'
        END
    FROM ledger.account a FULL JOIN opened o ON o.account_id = a.id LEFT JOIN latest l ON l.account_id = o.account_id
    WHERE a.id IS NULL OR o.account_id IS NULL OR a.overdraft_limit <> l.overdraft_limit OR a.flags <> l.flags
        OR a.flags & ~32 <> o.flags & ~32
        OR (a.ledger, a.code, a.timestamp, a.user_data_128, a.user_data_64, a.user_data_32)
            <> (o.ledger, o.code, o.timestamp, o.user_data_128, o.user_data_64, o.user_data_32)
), unagreed (subject, detail) AS MATERIALIZED (
    SELECT 'account ' || a.id, 'its overdraft limit is not the one last agreed'
    FROM ledger.account a LEFT JOIN agreed g ON g.account_id = a.id AND g.next_id IS NULL
    WHERE a.overdraft_limit <> coalesce(g.new_limit, 0)
), gap (subject, detail) AS MATERIALIZED (
    SELECT 'overdraft_change ' || g.id, 'it does not begin where the one before ended'
    FROM agreed g WHERE g.old_limit <> g.limit0
)
(SELECT subject, detail FROM changed ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM unagreed ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM gap ORDER BY subject LIMIT :most);

-- name: wrong_memos
-- Memo entries that do not follow from those before, and totals that are not those of their last entries.
WITH entry AS (
    SELECT e.ledger, e.owner, e.seq, e.amount, e.total_after, coalesce(lag(e.seq) OVER w, 0) AS seq0,
        coalesce(lag(e.total_after) OVER w, 0) AS total0, lead(e.seq) OVER w AS seq1
    FROM ledger.memo_entry e WINDOW w AS (PARTITION BY e.ledger, e.owner ORDER BY e.seq)
), uneven (subject, detail) AS MATERIALIZED (
    SELECT 'memo ' || e.ledger || ' of ' || e.owner, 'entry ' || e.seq || ' does not follow from the one before'
    FROM entry e WHERE e.seq <> e.seq0 + 1 OR e.total_after::numeric <> e.total0::numeric + e.amount
), total_apart (subject, detail) AS MATERIALIZED (
    SELECT 'memo ' || coalesce(m.ledger, e.ledger) || ' of ' || coalesce(m.owner, e.owner),
        'the total is not that of its last entry'
    FROM ledger.memo_total m FULL JOIN (
        SELECT x.ledger, x.owner, x.seq, x.total_after FROM entry x WHERE x.seq1 IS NULL
    ) e ON e.ledger = m.ledger AND e.owner = m.owner
    WHERE (m.total, m.seq) IS DISTINCT FROM (coalesce(e.total_after, 0), coalesce(e.seq, 0))
)
(SELECT subject, detail FROM uneven ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM total_apart ORDER BY subject LIMIT :most);

-- name: wrong_partitions
-- Archived partitions whose rows are not those of the checksum.
SELECT 'partition ' || p.name AS subject, CASE
        WHEN to_regclass('ledger_archive.' || p.name) IS NULL THEN 'its table is gone from the archive'
        ELSE 'its rows are not those of its checksum'
    END AS detail
FROM ledger.partition p
CROSS JOIN LATERAL (
    SELECT count(*) AS row_count,
        sha256(coalesce(
            string_agg(ledger.leaf(ROW(t.*)::ledger.transfer), ''::bytea ORDER BY t.timestamp), ''
        )) AS checksum
    FROM ledger.journal t WHERE t.id >= ledger.first_id(p.low_ms) AND t.id < ledger.first_id(p.high_ms)
) now
WHERE p.archived_at IS NOT NULL AND :is_whole::boolean
    AND (now.row_count, now.checksum) IS DISTINCT FROM (p.row_count, p.checksum)
ORDER BY p.name LIMIT :most;
