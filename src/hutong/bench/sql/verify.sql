-- name: fill_accounts
-- Accounts with ids as those of the chart: they begin with the code and the currency.
INSERT INTO ledger.account (id, timestamp, ledger, code, flags, user_data_128, user_data_64, user_data_32)
SELECT ('044d009c' || substr(md5(n::text), 1, 24))::uuid, n, 156, 1101, 8, md5('owner' || n)::uuid, 0, 0
FROM generate_series(1, $1::bigint) n;

-- name: fill_transfers
-- The bookings $1 to $2 among $3 accounts, with the versions and balances that booking one by one would have given them.
-- Of a hundred, one is a hold and the next posts it.
WITH made AS MATERIALIZED (
    SELECT n, m, kind, 1 + abs(hashint8extended(m, 1) % $3::bigint) AS debit, 1 + m % 9973 AS amount
    FROM generate_series($1::bigint, $2::bigint) n
    CROSS JOIN LATERAL (SELECT CASE n % 100 WHEN 1 THEN 2 WHEN 2 THEN 4 ELSE 0 END AS kind) k
    CROSS JOIN LATERAL (SELECT CASE WHEN kind = 4 THEN n - 1 ELSE n END AS m) p
), side AS (
    SELECT n, kind, amount, true AS is_debit, debit AS account FROM made
    UNION ALL
    SELECT n, kind, amount, false, 1 + (debit + abs(hashint8extended(m, 2) % ($3::bigint - 1))) % $3::bigint FROM made
), run AS MATERIALIZED (
    SELECT s.n, s.is_debit, a.id, a.version + row_number() OVER w AS version,
        a.debits_pending + sum(CASE WHEN is_debit THEN held ELSE 0 END) OVER w AS debits_pending,
        a.debits_posted + sum(CASE WHEN is_debit THEN posted ELSE 0 END) OVER w AS debits_posted,
        a.credits_pending + sum(CASE WHEN is_debit THEN 0 ELSE held END) OVER w AS credits_pending,
        a.credits_posted + sum(CASE WHEN is_debit THEN 0 ELSE posted END) OVER w AS credits_posted
    FROM side s
    CROSS JOIN LATERAL (
        SELECT CASE s.kind WHEN 2 THEN s.amount WHEN 4 THEN -s.amount ELSE 0 END AS held,
            CASE s.kind WHEN 2 THEN 0 ELSE s.amount END AS posted
    ) c
    JOIN ledger.account a ON a.id = ('044d009c' || substr(md5(s.account::text), 1, 24))::uuid
    WINDOW w AS (PARTITION BY s.account ORDER BY s.n)
)
INSERT INTO ledger.transfer (
    id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64, user_data_32, timeout, ledger,
    code, flags, timestamp, accounting_date, debit_version, credit_version, debit_debits_pending, debit_debits_posted,
    debit_credits_pending, debit_credits_posted, credit_debits_pending, credit_debits_posted, credit_credits_pending,
    credit_credits_posted, xact
)
SELECT (lpad(to_hex($4::bigint + m.n / 10), 12, '0') || lpad(to_hex(m.n), 20, '0'))::uuid, d.id, c.id, m.amount,
    CASE WHEN m.kind = 4 THEN (lpad(to_hex($4 + m.m / 10), 12, '0') || lpad(to_hex(m.m), 20, '0'))::uuid
        ELSE ledger.nil() END,
    md5((m.n / 3)::text)::uuid, 0, 0, 0, 156, 1, m.kind, ($4 + m.n / 10) * 1000000 + m.n % 10,
    DATE '2026-01-01' + ((m.n - 1) / $5::bigint)::integer, d.version, c.version,
    d.debits_pending, d.debits_posted, d.credits_pending, d.credits_posted,
    c.debits_pending, c.debits_posted, c.credits_pending, c.credits_posted, $6::bigint
FROM made m JOIN run d ON d.n = m.n AND d.is_debit JOIN run c ON c.n = m.n AND NOT c.is_debit;

-- name: fill_holds
-- The holds of these bookings, all posted.
INSERT INTO ledger.pending (id, debit_account_id, credit_account_id, expires_at, state)
SELECT t.id, t.debit_account_id, t.credit_account_id, 0, 2
FROM ledger.transfer t WHERE t.xact = $1 AND t.flags = 2;

-- name: carry_balances
-- Each account as its newest booking left it.
UPDATE ledger.account a SET
    version = e.version, debits_pending = e.dp, debits_posted = e.dpo, credits_pending = e.cp, credits_posted = e.cpo
FROM (
    SELECT DISTINCT ON (s.account_id) s.account_id, s.version, s.dp, s.dpo, s.cp, s.cpo FROM (
        SELECT debit_account_id AS account_id, debit_version AS version, debit_debits_pending AS dp,
            debit_debits_posted AS dpo, debit_credits_pending AS cp, debit_credits_posted AS cpo
        FROM ledger.transfer WHERE xact = $1
        UNION ALL
        SELECT credit_account_id, credit_version, credit_debits_pending, credit_debits_posted, credit_credits_pending,
            credit_credits_posted
        FROM ledger.transfer WHERE xact = $1
    ) s ORDER BY s.account_id, s.version DESC
) e
WHERE a.id = e.account_id;

-- name: add_books_partition
-- A partition for the bookings of these milliseconds.
SELECT ledger.add_partition($1, $2);

-- name: this_xact
-- The number of this transaction, as rows of the journal keep it.
SELECT db.xact_offset() + pg_current_xact_id()::text::bigint;

-- name: analyze_books
-- Update the statistics, as autovacuum would have done by then.
ANALYZE ledger.account, ledger.transfer, ledger.pending;
