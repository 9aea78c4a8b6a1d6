-- name: wrong_closings
-- Closings of accounts against the journal of their changes: what no row of the same transaction closed or opened, a
-- person did, and each time has its record, in order.
WITH change AS (
    SELECT c.id, c.account_id, c.xact, c.flags & 32 <> 0 AS closed,
        lag(c.flags & 32 <> 0) OVER (PARTITION BY c.account_id ORDER BY c.id) AS closed0
    FROM ledger.account_change c
), by_person AS (
    SELECT c.account_id, c.closed, row_number() OVER (PARTITION BY c.account_id ORDER BY c.id) AS n
    FROM change c
    WHERE c.closed <> c.closed0 AND NOT EXISTS (
        SELECT 1 FROM ledger.journal t WHERE t.xact = c.xact AND t.debit_account_id = c.account_id
    ) AND NOT EXISTS (
        SELECT 1 FROM ledger.journal t WHERE t.xact = c.xact AND t.credit_account_id = c.account_id
    )
), recorded AS (
    SELECT r.account_id, r.closed, row_number() OVER (PARTITION BY r.account_id ORDER BY r.id) AS n
    FROM ledger.account_closing r
)
SELECT DISTINCT 'account ' || coalesce(p.account_id, r.account_id) AS subject,
    'the records of its closings are not those of its changes' AS detail
FROM by_person p FULL JOIN recorded r ON r.account_id = p.account_id AND r.n = p.n
WHERE p.closed IS DISTINCT FROM r.closed
ORDER BY subject LIMIT :most;

-- name: wrong_periods
-- Closed periods: no month is missing between two, no year without its months, and each amount that was carried is that of
-- its row, after the period.
WITH month AS (
    SELECT p.period, p.last_day, lag(p.last_day) OVER (ORDER BY p.period) AS last_day0
    FROM ledger.period_closing p WHERE p.period LIKE '%-%'
), gap (subject, detail) AS MATERIALIZED (
    SELECT 'period ' || m.period, CASE
            WHEN to_char(m.last_day, 'YYYY-MM') <> m.period OR extract(day FROM m.last_day + 1) <> 1
                THEN 'its last day is not that of the month'
            ELSE 'the month before it is not closed'
        END
    FROM month m
    WHERE to_char(m.last_day, 'YYYY-MM') <> m.period OR extract(day FROM m.last_day + 1) <> 1
        OR to_char(m.last_day0 + 1, 'YYYY-MM') <> m.period
    UNION ALL
    SELECT 'period ' || y.period, 'its last month is not closed'
    FROM ledger.period_closing y
    WHERE y.period NOT LIKE '%-%' AND NOT EXISTS (SELECT 1 FROM month m WHERE m.period = y.period || '-12')
), apart (subject, detail) AS MATERIALIZED (
    SELECT 'period_carry ' || c.period || ' ' || c.account_id, CASE
            WHEN p.period IS NULL THEN 'its period is not closed'
            WHEN t.id IS NULL THEN 'its row is gone'
            ELSE 'it is not what its row carries'
        END
    FROM ledger.period_carry c
    LEFT JOIN ledger.period_closing p ON p.period = c.period
    LEFT JOIN ledger.journal t ON t.id = c.transfer_id
    WHERE p.period IS NULL
        OR (CASE WHEN c.amount > 0 THEN t.debit_account_id ELSE t.credit_account_id END, t.amount, t.code,
            t.accounting_date > p.last_day)
        IS DISTINCT FROM (c.account_id, abs(c.amount), CASE WHEN c.period LIKE '%-%' THEN :month_code::integer
            ELSE :year_code::integer END, true)
)
(SELECT subject, detail FROM gap ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM apart ORDER BY subject LIMIT :most);

-- columns: sweep_state
from_account_id, to_account_id, most_minor, every, first_at, active, created_by, stopped_at, stopped_by, stop_reason

-- name: wrong_orders
-- Standing orders against the journal of their changes, and what their runs moved against its rows.
WITH latest AS (
    SELECT DISTINCT ON (c.sweep_id) c.sweep_id, {c.sweep_state}
    FROM ledger.sweep_change c ORDER BY c.sweep_id, c.id DESC
), changed (subject, detail) AS MATERIALIZED (
    SELECT 'standing order ' || coalesce(s.id, l.sweep_id), CASE
            WHEN s.id IS NULL THEN 'it is gone'
            WHEN l.sweep_id IS NULL THEN 'no record says that it was added'
            ELSE 'it was changed without a record'
        END
    FROM ledger.sweep s FULL JOIN latest l ON l.sweep_id = s.id
    WHERE s.id IS NULL OR l.sweep_id IS NULL
        OR ({s.sweep_state}) IS DISTINCT FROM ({l.sweep_state})
), run_apart (subject, detail) AS MATERIALIZED (
    SELECT 'sweep_run ' || r.sweep_id || ' ' || r.transfer_id, 'it is not what its row moved'
    FROM ledger.sweep_run r LEFT JOIN ledger.journal t ON t.id = r.transfer_id AND t.flags < 32768
    WHERE r.xact >= :from_xact AND r.status = 0 AND r.amount_minor <> coalesce(t.amount, 0)
)
(SELECT subject, detail FROM changed ORDER BY subject LIMIT :most)
UNION ALL
(SELECT subject, detail FROM run_apart ORDER BY subject LIMIT :most);
