-- columns: booking_line
id, timestamp, accounting_date, code, other, reference, debit, credit, debits, credits

-- name: balance_before
-- The balance of an account just before an instant and a day: that of its newest earlier row, on either side.
SELECT e.debits, e.credits FROM (
    (SELECT t.debit_version AS version, t.debit_debits_posted AS debits, t.debit_credits_posted AS credits
        FROM ledger.journal t
        WHERE t.debit_account_id = :account_id AND t.timestamp < :since AND t.accounting_date < :first_day
        ORDER BY t.debit_version DESC LIMIT 1)
    UNION ALL
    (SELECT t.credit_version, t.credit_debits_posted, t.credit_credits_posted
        FROM ledger.journal t
        WHERE t.credit_account_id = :account_id AND t.timestamp < :since AND t.accounting_date < :first_day
        ORDER BY t.credit_version DESC LIMIT 1)
) e ORDER BY e.version DESC LIMIT 1;

-- name: statement_lines
-- The bookings on an account between two instants or of some days, with the balance after each; holds are no bookings.
SELECT {e.booking_line} FROM (
    SELECT t.id, t.timestamp, t.accounting_date, t.code, t.credit_account_id AS other, t.user_data_128 AS reference,
        t.amount AS debit, 0::bigint AS credit, t.debit_debits_posted AS debits, t.debit_credits_posted AS credits,
        t.debit_version AS version
    FROM ledger.journal t
    WHERE t.debit_account_id = :account_id AND t.flags & 32778 = 0 AND t.timestamp >= :since AND t.timestamp < :until
        AND t.accounting_date BETWEEN :first_day AND :last_day
    UNION ALL
    SELECT t.id, t.timestamp, t.accounting_date, t.code, t.debit_account_id, t.user_data_128,
        0::bigint, t.amount, t.credit_debits_posted, t.credit_credits_posted, t.credit_version
    FROM ledger.journal t
    WHERE t.credit_account_id = :account_id AND t.flags & 32778 = 0 AND t.timestamp >= :since AND t.timestamp < :until
        AND t.accounting_date BETWEEN :first_day AND :last_day
) e ORDER BY e.version;

-- name: account_code
-- The subject and ledger of an account.
SELECT code, ledger FROM ledger.account WHERE id = $1;

-- name: clearing_ages
-- Clearing accounts that are not at zero, and since when: the first row after the last time they were.
SELECT a.id, a.code, a.ledger, a.debits_posted - a.credits_posted AS balance, coalesce((
    SELECT min(e.timestamp) FROM (
        SELECT t.timestamp FROM ledger.journal t WHERE t.debit_account_id = a.id AND t.timestamp > z.at
        UNION ALL
        SELECT t.timestamp FROM ledger.journal t WHERE t.credit_account_id = a.id AND t.timestamp > z.at
    ) e
), 0) AS since
FROM ledger.account a
CROSS JOIN LATERAL (
    SELECT coalesce(max(e.timestamp), 0) AS at FROM (
        SELECT t.timestamp FROM ledger.journal t
        WHERE t.debit_account_id = a.id AND t.debit_debits_posted = t.debit_credits_posted
        UNION ALL
        SELECT t.timestamp FROM ledger.journal t
        WHERE t.credit_account_id = a.id AND t.credit_debits_posted = t.credit_credits_posted
    ) e
) z
WHERE a.code = ANY ($1::integer[]) AND a.debits_posted <> a.credits_posted
ORDER BY 5, a.id;

-- name: known_reversals
-- Those of these transfers that have been reversed already, and those that are reversals.
SELECT transfer_id, reversal_id FROM ledger.reversal WHERE transfer_id = ANY ($1::uuid[]) OR reversal_id = ANY ($1::uuid[]);

-- name: insert_reversals
-- Each transfer is reversed once; a concurrent second reversal violates the primary key.
INSERT INTO ledger.reversal (transfer_id, reversal_id, reason, reversed_by, reversed_at)
SELECT u.transfer_id, u.reversal_id, $3, $4, $5
FROM unnest($1::uuid[], $2::uuid[]) u (transfer_id, reversal_id);

-- name: add_sweep
-- Add a standing order between two accounts.
INSERT INTO ledger.sweep (id, from_account_id, to_account_id, most_minor, every, first_at, next_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $6, $7);

-- name: due_sweeps
-- Claim the standing orders that are due, each for one worker, with the zone in which their days are counted.
SELECT s.id, s.from_account_id, s.to_account_id, s.most_minor, s.every, s.first_at, y.zone
FROM ledger.sweep s CROSS JOIN ledger.accounting_day y
WHERE s.active AND s.next_at <= $1
ORDER BY s.id LIMIT $2 FOR UPDATE OF s SKIP LOCKED;

-- name: reschedule_sweeps
-- The times of the next runs of orders that the caller has claimed.
UPDATE ledger.sweep s SET next_at = u.next_at
FROM unnest(:sweep_id::uuid[], :next_at::timestamptz[]) u (sweep_id, next_at)
WHERE s.id = u.sweep_id;

-- name: lock_balances
-- Accounts with their balances, locked in the order in which every batch locks them.
SELECT {t.account} FROM ledger.account t WHERE t.id = ANY ($1::uuid[]) ORDER BY t.id FOR NO KEY UPDATE;

-- name: insert_sweep_runs
-- Record the amount that each run moved.
INSERT INTO ledger.sweep_run (sweep_id, ran_at, transfer_id, status, amount_minor)
SELECT u.sweep_id, $2, u.transfer_id, u.status, u.amount_minor
FROM unnest($1::uuid[], $3::uuid[], $4::integer[], $5::bigint[]) u (sweep_id, transfer_id, status, amount_minor);

-- name: same_sweep
-- An active order between the same two accounts.
SELECT id FROM ledger.sweep WHERE active AND from_account_id = $1 AND to_account_id = $2 LIMIT 1;

-- name: stop_sweep
-- Stop an order that is active; no row comes back for another.
UPDATE ledger.sweep SET active = false, stopped_at = $2, stopped_by = $3, stop_reason = $4
WHERE id = $1 AND active
RETURNING id;

-- name: list_sweeps
-- Standing orders in the order of their ids, each with its last run, and with its failures since the last success.
SELECT s.id, s.from_account_id, s.to_account_id, a.ledger, s.most_minor, s.every, s.next_at, s.active, s.created_by,
    s.stopped_at, s.stopped_by, s.stop_reason, r.ran_at, r.status, r.amount_minor,
    (
        SELECT count(*) FROM ledger.sweep_run f
        WHERE f.sweep_id = s.id AND f.status <> 0 AND f.ran_at > coalesce((
            SELECT max(x.ran_at) FROM ledger.sweep_run x WHERE x.sweep_id = s.id AND x.status = 0
        ), '-infinity')
    ) AS failures
FROM ledger.sweep s
JOIN ledger.account a ON a.id = s.from_account_id
LEFT JOIN LATERAL (
    SELECT x.ran_at, x.status, x.amount_minor FROM ledger.sweep_run x
    WHERE x.sweep_id = s.id ORDER BY x.ran_at DESC LIMIT 1
) r ON true
WHERE (:order_id::uuid IS NULL OR s.id = :order_id) AND s.id > :after AND (NOT :active_only::boolean OR s.active)
ORDER BY s.id LIMIT :limit;

-- name: list_memo_ledgers
-- The memo ledgers, each with its number of owners and entries and its total.
SELECT m.ledger, count(*) AS owners, sum(m.seq)::bigint AS entries, sum(m.total)::numeric AS total
FROM ledger.memo_total m GROUP BY m.ledger ORDER BY m.ledger;

-- name: list_memo_totals
-- A page of the totals of a memo ledger.
SELECT m.owner, m.total, m.seq AS entries FROM ledger.memo_total m
WHERE m.ledger = $1 AND m.owner > $2 ORDER BY m.owner LIMIT $3;

-- name: list_memo_entries
-- A page of the entries of an owner in a memo ledger.
SELECT e.seq, e.ref, e.amount, e.total_after, e.entered_at FROM ledger.memo_entry e
WHERE e.ledger = $1 AND e.owner = $2 AND e.seq > $3 ORDER BY e.seq LIMIT $4;

-- name: open_memo_totals
-- Totals that do not exist yet start at zero.
INSERT INTO ledger.memo_total (ledger, owner, total, seq)
SELECT u.ledger, u.owner, 0, 0 FROM unnest($1::text[], $2::uuid[]) u (ledger, owner)
GROUP BY u.ledger, u.owner ORDER BY u.ledger, u.owner
ON CONFLICT (ledger, owner) DO NOTHING;

-- name: lock_memo_totals
-- The totals of a batch, locked in order.
SELECT m.ledger, m.owner, m.total, m.seq FROM ledger.memo_total m
WHERE (m.ledger, m.owner) IN (SELECT u.ledger, u.owner FROM unnest($1::text[], $2::uuid[]) u (ledger, owner))
ORDER BY m.ledger, m.owner FOR UPDATE;

-- name: known_memos
-- The entries of a batch that exist already, read after the totals are locked.
SELECT e.ledger, e.owner, e.ref, e.amount FROM ledger.memo_entry e
WHERE (e.ledger, e.owner, e.ref) IN (
    SELECT u.ledger, u.owner, u.ref FROM unnest($1::text[], $2::uuid[], $3::text[]) u (ledger, owner, ref)
);

-- name: write_memos
-- Write new entries together with the totals after them.
WITH entries AS (
    INSERT INTO ledger.memo_entry (ledger, owner, seq, ref, amount, total_after, entered_at)
    SELECT u.ledger, u.owner, u.seq, u.ref, u.amount, u.total_after, $7
    FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[])
        u (ledger, owner, seq, ref, amount, total_after)
)
UPDATE ledger.memo_total m SET total = n.total_after, seq = n.seq
FROM (
    SELECT DISTINCT ON (u.ledger, u.owner) u.ledger, u.owner, u.seq, u.total_after
    FROM unnest($1::text[], $2::uuid[], $3::bigint[], $6::bigint[]) u (ledger, owner, seq, total_after)
    ORDER BY u.ledger, u.owner, u.seq DESC
) n
WHERE m.ledger = n.ledger AND m.owner = n.owner;

-- name: wrong_memo_totals
-- Totals that are not the sum of their entries.
SELECT m.ledger, m.owner FROM ledger.memo_total m
LEFT JOIN (
    SELECT e.ledger, e.owner, sum(e.amount) AS total, max(e.seq) AS seq, count(*) AS entries
    FROM ledger.memo_entry e GROUP BY e.ledger, e.owner
) s ON s.ledger = m.ledger AND s.owner = m.owner
WHERE m.total <> coalesce(s.total, 0) OR m.seq <> coalesce(s.seq, 0) OR m.seq <> coalesce(s.entries, 0)
ORDER BY m.ledger, m.owner LIMIT 100;

-- name: stream_movements
-- The bookings on the accounts of a subject and an owner between two instants, each with the transfer that it reverses.
SELECT m.id, m.amount, m.code, m.ledger, m.reference, m.timestamp, m.original_code, r.transfer_id AS original_id
FROM (
    SELECT t.id, t.amount, t.code, t.ledger, t.user_data_128 AS reference, t.timestamp, t.user_data_32 AS original_code
    FROM ledger.account a
    JOIN ledger.journal t ON t.debit_account_id = a.id
    WHERE a.user_data_128 = :owner AND a.code = :code AND t.flags & 32778 = 0
        AND t.timestamp >= :since AND t.timestamp < :until
    UNION ALL
    SELECT t.id, -t.amount, t.code, t.ledger, t.user_data_128, t.timestamp, t.user_data_32
    FROM ledger.account a
    JOIN ledger.journal t ON t.credit_account_id = a.id
    WHERE a.user_data_128 = :owner AND a.code = :code AND t.flags & 32778 = 0
        AND t.timestamp >= :since AND t.timestamp < :until
) m
LEFT JOIN ledger.reversal r ON r.reversal_id = m.id;
