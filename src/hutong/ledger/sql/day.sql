-- columns: day_sums
ledger, code, opening_debits, opening_credits, debits, credits, closing_debits, closing_credits

-- columns: accounting_day
online_date, batch_date, zone, cut_time, cut_belongs_to

-- name: lock_accounting_day
-- The current accounting dates; locked, so that one day cut moves at a time.
SELECT {accounting_day} FROM ledger.accounting_day FOR UPDATE;

-- name: accounting_day
-- The current accounting dates.
SELECT {accounting_day} FROM ledger.accounting_day;

-- name: set_cut_time
-- When days end from now on.
UPDATE ledger.accounting_day SET cut_time = $1, zone = $2, cut_belongs_to = $3;

-- name: first_business_day
-- The first day that has rows, for the first cut; the journal has no index on days.
SELECT min(t.accounting_date) AS day FROM ledger.journal t;

-- name: day_cut
-- The progress of the closing of one day.
SELECT day, step, from_xact, switched_xact FROM ledger.day_cut WHERE day = $1;

-- name: recent_day_cuts
-- The days that are closed or being closed, newest first.
SELECT day, step, due_at, finished_at FROM ledger.day_cut ORDER BY day DESC LIMIT $1;

-- name: begin_day_cut
-- No new transfer belongs to this day from the moment this commits. Its own rows are found from where the rows after the
-- previous day begin.
WITH day AS (
    UPDATE ledger.accounting_day SET online_date = greatest(online_date, $2)
)
INSERT INTO ledger.day_cut (day, step, from_xact, began_xact, started_at, due_at)
VALUES ($1, 'switched', coalesce((SELECT c.began_xact FROM ledger.day_cut c ORDER BY c.day DESC LIMIT 1), 0),
    db.xact_offset() + pg_snapshot_xmin(pg_current_snapshot())::text::bigint, $3, $4);

-- name: note_switch
-- Run once the switch is committed: every transaction that may still have seen the old date has a lower number.
UPDATE ledger.day_cut SET switched_xact = db.xact_offset() + pg_snapshot_xmax(pg_current_snapshot())::text::bigint WHERE day = $1;

-- name: drain
-- The day is drained when none of those transactions is still running.
UPDATE ledger.day_cut SET
    step = CASE WHEN db.xact_offset() + pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= switched_xact
        THEN 'drained' ELSE step END
WHERE day = $1
RETURNING step;

-- name: note_next_rows
-- Where the rows of later days begin, which may have been written long before this day was closed: at the first that is
-- there, or at the oldest transaction that may still write one.
UPDATE ledger.day_cut c SET began_xact = least(
    db.xact_offset() + pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
    (SELECT min(t.xact) FROM ledger.journal t WHERE t.xact >= c.from_xact AND t.accounting_date > c.day)
)
WHERE c.day = $1;

-- name: forget_day_balances
-- A day is balanced from scratch each time, so that an interrupted run leaves no trace.
WITH accounts AS (DELETE FROM ledger.day_balance WHERE day = $1)
DELETE FROM ledger.day_subject WHERE day = $1;

-- name: balance_accounts
-- The movements of the day by account, added up from single rows; the opening balance is that of the account's last day.
INSERT INTO ledger.day_balance (day, account_id, {day_sums})
SELECT $1, m.account_id, a.ledger, a.code, coalesce(p.closing_debits, 0), coalesce(p.closing_credits, 0),
    m.debits, m.credits, coalesce(p.closing_debits, 0) + m.debits, coalesce(p.closing_credits, 0) + m.credits
FROM (
    SELECT e.account_id, sum(e.debits)::bigint AS debits, sum(e.credits)::bigint AS credits FROM (
        SELECT t.debit_account_id AS account_id, t.amount AS debits, 0 AS credits FROM ledger.journal t
        WHERE t.xact >= $2 AND t.accounting_date <= $1 AND t.flags & 32778 = 0
            AND t.accounting_date > coalesce($3, '-infinity'::date)
        UNION ALL
        SELECT t.credit_account_id, 0, t.amount FROM ledger.journal t
        WHERE t.xact >= $2 AND t.accounting_date <= $1 AND t.flags & 32778 = 0
            AND t.accounting_date > coalesce($3, '-infinity'::date)
    ) e GROUP BY e.account_id
) m
JOIN ledger.account a ON a.id = m.account_id
LEFT JOIN LATERAL (
    SELECT b.closing_debits, b.closing_credits FROM ledger.day_balance b
    WHERE b.account_id = m.account_id AND b.day < $1 ORDER BY b.day DESC LIMIT 1
) p ON true;

-- name: balance_subjects
-- The same by subject: the previous day's closing balance and the day's movements.
INSERT INTO ledger.day_subject (day, {day_sums})
SELECT $1, ledger, code, sum(od), sum(oc), sum(d), sum(c), sum(od) + sum(d), sum(oc) + sum(c) FROM (
    SELECT s.ledger, s.code, s.closing_debits AS od, s.closing_credits AS oc, 0 AS d, 0 AS c
    FROM ledger.day_subject s WHERE s.day = (SELECT max(x.day) FROM ledger.day_subject x WHERE x.day < $1)
    UNION ALL
    SELECT b.ledger, b.code, 0, 0, b.debits, b.credits FROM ledger.day_balance b WHERE b.day = $1
) parts GROUP BY ledger, code;

-- name: day_imbalance
-- A ledger whose debits and credits of the day differ, if there is one.
SELECT ledger, sum(debits) AS debits, sum(credits) AS credits FROM ledger.day_balance WHERE day = $1
GROUP BY ledger HAVING sum(debits) <> sum(credits) LIMIT 1;

-- name: day_total_against_detail
-- An account whose closing balance, added up, is not what its last row of the day says.
SELECT b.account_id FROM ledger.day_balance b
CROSS JOIN LATERAL (
    SELECT e.debits, e.credits FROM (
        (SELECT t.debit_version AS version, t.debit_debits_posted AS debits, t.debit_credits_posted AS credits
            FROM ledger.journal t WHERE t.debit_account_id = b.account_id AND t.accounting_date <= $1
            ORDER BY t.debit_version DESC LIMIT 1)
        UNION ALL
        (SELECT t.credit_version, t.credit_debits_posted, t.credit_credits_posted
            FROM ledger.journal t WHERE t.credit_account_id = b.account_id AND t.accounting_date <= $1
            ORDER BY t.credit_version DESC LIMIT 1)
    ) e ORDER BY e.version DESC LIMIT 1
) last
WHERE b.day = $1 AND (last.debits, last.credits) <> (b.closing_debits, b.closing_credits)
ORDER BY b.account_id LIMIT 1;

-- name: account_apart_from_days
-- An account whose balances are not its closed days and what is not closed yet: a row that fell between two days, or a
-- change by hand.
SELECT a.id AS account_id FROM ledger.account a
LEFT JOIN LATERAL (
    SELECT b.closing_debits AS debits, b.closing_credits AS credits FROM ledger.day_balance b
    WHERE b.account_id = a.id AND b.day <= $1 ORDER BY b.day DESC LIMIT 1
) closed ON true
LEFT JOIN (
    SELECT e.account_id, sum(e.debits) AS debits, sum(e.credits) AS credits FROM (
        SELECT t.debit_account_id AS account_id, t.amount AS debits, 0 AS credits FROM ledger.journal t
        WHERE t.xact >= $2 AND t.accounting_date > $1 AND t.flags & 32778 = 0
        UNION ALL
        SELECT t.credit_account_id, 0, t.amount FROM ledger.journal t
        WHERE t.xact >= $2 AND t.accounting_date > $1 AND t.flags & 32778 = 0
    ) e GROUP BY e.account_id
) opened ON opened.account_id = a.id
WHERE a.debits_posted <> coalesce(closed.debits, 0) + coalesce(opened.debits, 0)
    OR a.credits_posted <> coalesce(closed.credits, 0) + coalesce(opened.credits, 0)
ORDER BY a.id LIMIT 1;

-- name: subject_apart_from_days
-- The same by subject.
SELECT p.ledger, p.code FROM (
    SELECT s.ledger, s.code, s.closing_debits AS debits, s.closing_credits AS credits
    FROM ledger.day_subject s WHERE s.day = $1
    UNION ALL
    SELECT a.ledger, a.code, t.amount, 0 FROM ledger.journal t JOIN ledger.account a ON a.id = t.debit_account_id
    WHERE t.xact >= $2 AND t.accounting_date > $1 AND t.flags & 32778 = 0
    UNION ALL
    SELECT a.ledger, a.code, 0, t.amount FROM ledger.journal t JOIN ledger.account a ON a.id = t.credit_account_id
    WHERE t.xact >= $2 AND t.accounting_date > $1 AND t.flags & 32778 = 0
    UNION ALL
    SELECT a.ledger, a.code, -a.debits_posted, -a.credits_posted FROM ledger.account a
) p GROUP BY p.ledger, p.code HAVING sum(p.debits) <> 0 OR sum(p.credits) <> 0
ORDER BY p.ledger, p.code LIMIT 1;

-- name: day_negative_account
-- An account that must not be below zero at the end of the day, but is. Overdraft limits hold within a day only, except for
-- merchants' pending settlement (2001): a merchant's agreed debt is netted over several days.
SELECT a.id AS account_id FROM ledger.account a
JOIN LATERAL (
    SELECT b.closing_debits, b.closing_credits FROM ledger.day_balance b
    WHERE b.account_id = a.id AND b.day <= $1 ORDER BY b.day DESC LIMIT 1
) b ON true
WHERE (
        a.flags & 2 <> 0
        AND b.closing_debits > b.closing_credits + CASE WHEN a.code = 2001 THEN a.overdraft_limit ELSE 0 END
    )
    OR (a.flags & 4 <> 0 AND b.closing_credits > b.closing_debits)
ORDER BY a.id LIMIT 1;

-- name: advance_day_cut
-- Advance the closing of a day.
UPDATE ledger.day_cut SET step = $2, finished_at = $3 WHERE day = $1;

-- name: finish_batch_date
-- Close the day.
UPDATE ledger.accounting_day SET batch_date = $1;

-- name: subject_balances
-- The books of one closed day by subject.
SELECT {day_sums}
FROM ledger.day_subject WHERE day = $1 ORDER BY ledger, code;

-- name: subject_balances_now
-- The current books by subject.
SELECT ledger, code, sum(debits_posted) AS closing_debits, sum(credits_posted) AS closing_credits
FROM ledger.account WHERE version > 0 GROUP BY ledger, code ORDER BY ledger, code;
