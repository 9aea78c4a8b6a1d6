-- columns: transfer
id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64, user_data_32, timeout, ledger,
code, flags, timestamp

-- columns: journal
-- A row of the journal, in the order of `Row` and of the binary COPY in codec.py.
{transfer}, debit_version, credit_version,
debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted,
credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted

-- name: lookup_transfers
-- Transfers by id, archived ones too; the bounds keep the search to the partitions that can hold them.
SELECT {transfer}
FROM ledger.journal WHERE id = ANY ($1::uuid[]) AND id BETWEEN $2 AND $3 AND flags < 32768;

-- name: acquire
-- Lock the accounts of a batch and read all that the batch must know, in one round trip. Arrays travel as text, here and
-- below: the driver looks at every element of a list twice before it encodes it, which costs more than all parsing.
SELECT kind, a, b, c, d, e, n1, n2, n3, n4, n5, n6, n7, n8, n9, packed
FROM ledger.acquire(
    :event_ids::text::uuid[], :pending_ids::text::uuid[], :account_ids::text::uuid[], :least_id, :greatest_id,
    :tick_count, :now_ns
);

-- name: due_holds
-- The due holds on accounts that a batch has locked; they are released before the batch runs.
SELECT p.id, p.debit_account_id, p.credit_account_id
FROM ledger.pending p
WHERE p.state = 1 AND p.expires_at > 0 AND p.expires_at <= $2 AND p.debit_account_id = ANY ($1::text::uuid[])
UNION
SELECT p.id, p.debit_account_id, p.credit_account_id
FROM ledger.pending p
WHERE p.state = 1 AND p.expires_at > 0 AND p.expires_at <= $2 AND p.credit_account_id = ANY ($1::text::uuid[]);

-- name: next_expiries
-- When the next hold of each account expires, once those due are released: holds that this transaction is about to
-- release still count, which is early but never late.
SELECT x.id, least(
    (SELECT min(p.expires_at) FROM ledger.pending p
        WHERE p.debit_account_id = x.id AND p.state = 1 AND p.expires_at > 0),
    (SELECT min(p.expires_at) FROM ledger.pending p
        WHERE p.credit_account_id = x.id AND p.state = 1 AND p.expires_at > 0)
) AS next_expiry
FROM unnest($1::text::uuid[]) x (id);

-- name: due_hold_ids
-- One pulse of expiry takes the holds that have been due longest.
SELECT p.id, p.debit_account_id, p.credit_account_id
FROM ledger.pending p
WHERE p.state = 1 AND p.expires_at > 0 AND p.expires_at <= $1
ORDER BY p.expires_at LIMIT $2;

-- name: imported_bounds
-- The timestamp that imported transfers must come after, those of their timestamps that an account or a row of the ledger's
-- own has, and the last day that is closed or being closed.
SELECT
    coalesce((SELECT max(t.timestamp) FROM ledger.journal t WHERE t.flags < 32768), 0) AS newest,
    (SELECT coalesce(array_agg(x.timestamp), '{}') FROM (
        SELECT a.timestamp FROM ledger.account a WHERE a.timestamp = ANY ($1::bigint[])
        UNION ALL
        SELECT t.timestamp FROM ledger.journal t WHERE t.timestamp = ANY ($1::bigint[]) AND t.flags >= 32768
    ) x) AS taken,
    (SELECT max(c.day) FROM ledger.day_cut c) AS closed_day;

-- name: record_late_imports
-- The reason for each transfer that was imported with a timestamp of a closed day; $4 is in microseconds since 1970.
INSERT INTO ledger.late_import (transfer_id, day, reason, imported_at)
SELECT u.transfer_id, u.day, $3, to_timestamp($4::bigint / 1000000.0)
FROM unnest($1::uuid[], $2::date[]) u (transfer_id, day);

-- name: one_importer
-- Imported events must come after all others, so only one batch of them runs at a time.
SELECT pg_advisory_xact_lock(x'696d706f7274'::bigint);

-- name: write
-- Everything a batch changes, in one round trip: journal rows, balances, holds, failed ids. The journal rows of a large
-- batch went ahead by COPY, and their arrays are empty here; so are those of what no account of the batch changed. An
-- account whose newest row has a later date is not changed, and the caller misses it.
WITH journal AS (
    INSERT INTO ledger.transfer (accounting_date, xact, {journal})
    SELECT j.accounting_date, :xact::bigint, {j.journal}
    FROM unnest(
        :accounting_date::text::date[], :id::text::uuid[], :debit_account_id::text::uuid[],
        :credit_account_id::text::uuid[], :amount::text::bigint[],
        :pending_id::text::uuid[], :user_data_128::text::uuid[], :user_data_64::text::bigint[],
        :user_data_32::text::bigint[], :timeout::text::bigint[], :ledger::text::bigint[], :code::text::integer[],
        :flags::text::integer[], :timestamp::text::bigint[], :debit_version::text::bigint[],
        :credit_version::text::bigint[], :debit_debits_pending::text::bigint[], :debit_debits_posted::text::bigint[],
        :debit_credits_pending::text::bigint[], :debit_credits_posted::text::bigint[],
        :credit_debits_pending::text::bigint[], :credit_debits_posted::text::bigint[],
        :credit_credits_pending::text::bigint[], :credit_credits_posted::text::bigint[]
    ) AS j (accounting_date, {journal})
), balances AS (
    UPDATE ledger.account a SET
        debits_posted = u.debits_posted, credits_posted = u.credits_posted, version = u.version,
        debits_pending = coalesce(u.debits_pending, a.debits_pending),
        credits_pending = coalesce(u.credits_pending, a.credits_pending),
        next_expiry = coalesce(u.next_expiry, a.next_expiry), flags = coalesce(u.flags, a.flags),
        last_date = CASE WHEN u.version > a.version THEN :last_date::date ELSE a.last_date END
    FROM unnest(
        :account_id::text::uuid[], :account_debits_posted::text::bigint[], :account_credits_posted::text::bigint[],
        :account_version::text::bigint[], :account_debits_pending::text::bigint[],
        :account_credits_pending::text::bigint[], :account_next_expiry::text::bigint[], :account_flags::text::integer[]
    ) u (id, debits_posted, credits_posted, version, debits_pending, credits_pending, next_expiry, flags)
    WHERE a.id = u.id AND coalesce(a.last_date, '-infinity') <= :last_date
    RETURNING 1
), opened AS (
    INSERT INTO ledger.pending (id, debit_account_id, credit_account_id, expires_at, state)
    SELECT o.id, o.debit_account_id, o.credit_account_id, o.expires_at, o.state
    FROM unnest(
        :opened_id::text::uuid[], :opened_debit_account_id::text::uuid[], :opened_credit_account_id::text::uuid[],
        :opened_expires_at::text::bigint[], :opened_state::text::smallint[]
    ) o (id, debit_account_id, credit_account_id, expires_at, state)
), resolved AS (
    UPDATE ledger.pending p SET state = r.state
    FROM unnest(:resolved_id::text::uuid[], :resolved_state::text::smallint[]) r (id, state)
    WHERE p.id = r.id AND p.state = 1
    RETURNING 1
), failed AS (
    INSERT INTO ledger.transfer (accounting_date, xact, {journal})
    SELECT :last_date, :xact, f.id, ledger.nil(), ledger.nil(), 0, ledger.nil(), ledger.nil(), 0,
        f.status, 0, 0, 0, 98304, f.timestamp, f.timestamp, f.timestamp, 0, 0, 0, 0, 0, 0, 0, 0
    FROM unnest(:failed_id::text::uuid[], :failed_status::text::integer[], :failed_timestamp::text::bigint[])
        f (id, status, timestamp)
)
SELECT (SELECT count(*) FROM balances) AS accounts, (SELECT count(*) FROM resolved) AS holds;
