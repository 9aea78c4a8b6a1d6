-- name: added_subjects
-- The subjects that were added to the chart, in order.
SELECT code, name_en, name_zh, owner, covered FROM ledger.subject ORDER BY code;

-- name: add_subject
-- A new subject; no row comes back if the code or a name is taken.
INSERT INTO ledger.subject (code, name_en, name_zh, owner, covered, added_at, added_by, reason)
VALUES (:code, :name_en, :name_zh, :owner, :covered, :now, :by, :reason)
ON CONFLICT DO NOTHING
RETURNING code;

-- name: list_accounts
-- A page of accounts in the order of their creation.
SELECT {t.account}, t.overdraft_limit
FROM ledger.account t
WHERE t.timestamp > :after
    AND (:owner::uuid IS NULL OR t.user_data_128 = :owner)
    AND (:ledger::bigint IS NULL OR t.ledger = :ledger)
    AND (:any_code::boolean OR t.code = ANY (:codes::integer[]))
    AND t.flags & :flags::integer = :flags
    AND (:closed::boolean IS NULL OR (t.flags & 32 <> 0) = :closed)
ORDER BY t.timestamp LIMIT :limit;

-- name: accounts_of
-- Accounts by id, with their limits.
SELECT {t.account}, t.overdraft_limit FROM ledger.account t WHERE t.id = ANY ($1::uuid[]);

-- name: lock_account
-- One account, locked until the transaction ends.
SELECT {t.account}, t.overdraft_limit FROM ledger.account t WHERE t.id = $1 FOR NO KEY UPDATE;

-- name: set_account_closed
-- Close or reopen an account that the caller has locked, and record it; together or not at all.
WITH change AS (
    INSERT INTO ledger.account_closing (account_id, closed, changed_at, changed_by, reason)
    VALUES (:account_id, :closed, :now, :by, :reason)
)
UPDATE ledger.account SET flags = CASE WHEN :closed::boolean THEN flags | 32 ELSE flags & ~32 END
WHERE id = :account_id;

-- name: last_closing
-- Whether a person closed the account last, or reopened it.
SELECT closed FROM ledger.account_closing WHERE account_id = $1 ORDER BY id DESC LIMIT 1;

-- name: order_with_account
-- An active standing order that moves money from or to an account.
SELECT id FROM ledger.sweep WHERE active AND (from_account_id = $1 OR to_account_id = $1) LIMIT 1;

-- name: list_overdrafts
-- Every change of the limit of an account, newest first.
SELECT old_limit AS old_limit_minor, new_limit AS new_limit_minor, changed_at, changed_by, reason
FROM ledger.overdraft_change WHERE account_id = $1 ORDER BY id DESC;

-- name: transfers_by_reference
-- The rows about one object, by the index of references.
SELECT {t.transfer}, t.accounting_date, r.reversal_id
FROM ledger.journal t LEFT JOIN ledger.reversal r ON r.transfer_id = t.id
WHERE t.user_data_128 = :reference AND t.user_data_128 <> '00000000-0000-0000-0000-000000000000'
    AND t.timestamp > :after
    AND (:code::integer IS NULL OR t.code = :code)
    AND (:ledger::bigint IS NULL OR t.ledger = :ledger)
    AND (:amount::bigint IS NULL OR t.amount = :amount)
    AND t.accounting_date BETWEEN :since AND :until
ORDER BY t.timestamp LIMIT :limit;

-- name: transfers_by_fields
-- The rows with these fields, by the index of timestamps; ids that failed (65536) moved nothing.
SELECT {t.transfer}, t.accounting_date, r.reversal_id
FROM ledger.journal t LEFT JOIN ledger.reversal r ON r.transfer_id = t.id
WHERE t.timestamp > :after AND t.flags & 65536 = 0
    AND (:code::integer IS NULL OR t.code = :code)
    AND (:ledger::bigint IS NULL OR t.ledger = :ledger)
    AND (:amount::bigint IS NULL OR t.amount = :amount)
    AND t.accounting_date BETWEEN :since AND :until
ORDER BY t.timestamp LIMIT :limit;

-- name: transfer_by_id
-- One row of the journal, archived or not.
SELECT {t.transfer}, t.accounting_date, r.reversal_id
FROM ledger.journal t LEFT JOIN ledger.reversal r ON r.transfer_id = t.id
WHERE t.id = $1 AND t.flags & 65536 = 0;

-- name: list_holds
-- A page of the holds that are open.
SELECT p.id, t.timestamp, t.code, t.ledger, t.amount, t.debit_account_id, t.credit_account_id, t.user_data_128,
    p.expires_at
FROM ledger.pending p JOIN ledger.journal t ON t.id = p.id
WHERE p.state = 1 AND p.id > :after
    AND (:account_id::uuid IS NULL OR p.debit_account_id = :account_id OR p.credit_account_id = :account_id)
ORDER BY p.id LIMIT :limit;

-- name: list_reversals
-- A page of the reversals, newest first, each with the transfer that it reverses.
SELECT v.transfer_id, v.reversal_id, v.reason, v.reversed_by, v.reversed_at, t.amount, t.code, t.ledger
FROM ledger.reversal v JOIN ledger.journal t ON t.id = v.transfer_id
WHERE :before::uuid IS NULL OR (v.reversed_at, v.reversal_id) < (
    SELECT b.reversed_at, b.reversal_id FROM ledger.reversal b WHERE b.reversal_id = :before
)
ORDER BY v.reversed_at DESC, v.reversal_id DESC LIMIT :limit;

-- name: is_reversal
-- Whether a transfer is the reversal of another.
SELECT EXISTS (SELECT 1 FROM ledger.reversal WHERE reversal_id = $1) AS reverses;

-- name: closed_days
-- The first and the last day that are closed.
SELECT min(day) AS first, max(day) AS last FROM ledger.day_cut WHERE step = 'finished';

-- name: day_end_balances
-- A page of the accounts that had moved by the end of a closed day, each with its balance then.
SELECT a.id, a.code, a.ledger, a.user_data_128 AS owner, b.day, b.closing_debits, b.closing_credits
FROM ledger.account a
JOIN LATERAL (
    SELECT x.day, x.closing_debits, x.closing_credits FROM ledger.day_balance x
    WHERE x.account_id = a.id AND x.day <= :day ORDER BY x.day DESC LIMIT 1
) b ON true
WHERE a.id > :after AND (:code::integer IS NULL OR a.code = :code)
ORDER BY a.id LIMIT :limit;

-- name: accounts_between
-- A page of the accounts with a balance before the first day or a movement up to the last, from the closed days.
SELECT a.id, a.code, a.ledger, a.user_data_128 AS owner, coalesce(o.closing_debits, 0) AS opening_debits,
    coalesce(o.closing_credits, 0) AS opening_credits, coalesce(m.debits, 0) AS debits, coalesce(m.credits, 0) AS credits
FROM ledger.account a
LEFT JOIN LATERAL (
    SELECT x.closing_debits, x.closing_credits FROM ledger.day_balance x
    WHERE x.account_id = a.id AND x.day < :since ORDER BY x.day DESC LIMIT 1
) o ON true
LEFT JOIN LATERAL (
    SELECT sum(x.debits) AS debits, sum(x.credits) AS credits FROM ledger.day_balance x
    WHERE x.account_id = a.id AND x.day BETWEEN :since AND :until
) m ON true
WHERE a.id > :after AND (:code::integer IS NULL OR a.code = :code)
    AND (o.closing_debits <> o.closing_credits OR m.debits IS NOT NULL)
ORDER BY a.id LIMIT :limit;

-- name: subjects_between
-- The same by ledger and subject, from the closed days of the subjects.
SELECT s.ledger, s.code,
    sum(s.opening_debits) FILTER (WHERE s.day = :since) AS opening_debits,
    sum(s.opening_credits) FILTER (WHERE s.day = :since) AS opening_credits,
    sum(s.debits) AS debits, sum(s.credits) AS credits
FROM ledger.day_subject s
WHERE s.day BETWEEN :since AND :until
GROUP BY s.ledger, s.code
ORDER BY s.ledger, s.code;

-- name: moved_accounts
-- A page of the accounts that moved on a closed day, with their sums.
SELECT b.account_id, a.user_data_128 AS owner, {b.day_sums}
FROM ledger.day_balance b JOIN ledger.account a ON a.id = b.account_id
WHERE b.day = :day AND b.account_id > :after
ORDER BY b.account_id LIMIT :limit;

-- name: lines_of_day
-- The bookings of a closed day on some accounts, in the order of their versions.
SELECT e.account_id, {e.booking_line} FROM (
    SELECT t.debit_account_id AS account_id, t.id, t.timestamp, t.accounting_date, t.code, t.credit_account_id AS other,
        t.user_data_128 AS reference, t.amount AS debit, 0::bigint AS credit, t.debit_debits_posted AS debits,
        t.debit_credits_posted AS credits, t.debit_version AS version
    FROM ledger.journal t
    WHERE t.debit_account_id = ANY (:account_ids::uuid[]) AND t.accounting_date <= :day
        AND t.accounting_date > :previous AND t.flags & 32778 = 0
    UNION ALL
    SELECT t.credit_account_id, t.id, t.timestamp, t.accounting_date, t.code, t.debit_account_id, t.user_data_128,
        0::bigint, t.amount, t.credit_debits_posted, t.credit_credits_posted, t.credit_version
    FROM ledger.journal t
    WHERE t.credit_account_id = ANY (:account_ids::uuid[]) AND t.accounting_date <= :day
        AND t.accounting_date > :previous AND t.flags & 32778 = 0
) e
ORDER BY e.account_id, e.version;

-- name: closed_day_before
-- The closed day before another.
SELECT max(day) FROM ledger.day_cut WHERE step = 'finished' AND day < $1;

-- name: one_period_closer
-- Periods are closed one after another.
SELECT pg_advisory_xact_lock(x'706572696f64'::bigint);

-- name: list_periods
-- Closed periods with the number of accounts that each carried, in order.
SELECT p.period, p.last_day, p.closed_at, p.closed_by, p.reason,
    (SELECT count(*) FROM ledger.period_carry c WHERE c.period = p.period) AS accounts
FROM ledger.period_closing p ORDER BY p.last_day, p.period DESC;

-- name: add_period
-- A period that is closed from now on.
INSERT INTO ledger.period_closing (period, last_day, closed_at, closed_by, reason)
VALUES (:period, :last_day, :now, :by, :reason);

-- name: add_carries
-- The amounts that a closing carried.
INSERT INTO ledger.period_carry (period, account_id, transfer_id, amount)
SELECT :period, u.account_id, u.transfer_id, u.amount
FROM unnest(:account_id::uuid[], :transfer_id::uuid[], :amount::bigint[]) u (account_id, transfer_id, amount);

-- name: list_carries
-- The amounts that the closing of a period carried.
SELECT c.account_id, a.code, a.ledger, c.transfer_id, c.amount
FROM ledger.period_carry c JOIN ledger.account a ON a.id = c.account_id
WHERE c.period = $1 ORDER BY c.account_id;

-- name: balances_to_carry
-- The credit balances that income and expense have at the end of a day, without those that closings booked after that day
-- have carried off.
SELECT a.id, a.ledger, a.code, b.closing_credits - b.closing_debits - coalesce(c.amount, 0) AS amount
FROM ledger.account a
JOIN LATERAL (
    SELECT x.closing_debits, x.closing_credits FROM ledger.day_balance x
    WHERE x.account_id = a.id AND x.day <= :last_day ORDER BY x.day DESC LIMIT 1
) b ON true
LEFT JOIN LATERAL (
    SELECT sum(y.amount)::bigint AS amount
    FROM ledger.period_carry y JOIN ledger.journal t ON t.id = y.transfer_id
    WHERE y.account_id = a.id AND t.accounting_date > :last_day
) c ON true
WHERE a.code = ANY (:codes::integer[]) AND b.closing_credits - b.closing_debits <> coalesce(c.amount, 0)
ORDER BY a.id;

-- name: profit_of_year
-- The profit of a year by ledger: everything that the closings of its months carried.
SELECT a.ledger, sum(c.amount)::bigint AS amount
FROM ledger.period_carry c JOIN ledger.account a ON a.id = c.account_id
WHERE c.period LIKE $1 || '-__'
GROUP BY a.ledger HAVING sum(c.amount) <> 0 ORDER BY a.ledger;

-- name: list_partitions
-- The partitions of the journal, oldest first.
SELECT name, low_ms, high_ms, archived_at, row_count, checksum FROM ledger.partition ORDER BY low_ms;

-- name: archive_partition
-- Move one partition into the archive, and return the checksum of its rows.
SELECT ledger.archive_partition($1, $2) AS checksum;
