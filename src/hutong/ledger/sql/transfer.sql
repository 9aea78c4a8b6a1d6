-- name: acquire
-- Lock the accounts of a batch and read all that the batch must know, in one round trip. Arrays travel as text, here and
-- below: the driver looks at every element of a list twice before it encodes it, which costs more than all parsing.
SELECT kind, a, b, c, d, e, n1, n2, n3, n4, n5, n6, n7, n8, n9, packed
FROM ledger.acquire($1::text::uuid[], $2::text::uuid[], $3::text::uuid[], $4, $5, $6, $7);

-- name: due_holds
-- The holds whose time is over on accounts that a batch has locked; they are released before the batch runs.
SELECT p.id, p.debit_account_id, p.credit_account_id
FROM ledger.pending p
WHERE p.state = 1 AND p.expires_at > 0 AND p.expires_at <= $2 AND p.debit_account_id = ANY ($1::text::uuid[])
UNION
SELECT p.id, p.debit_account_id, p.credit_account_id
FROM ledger.pending p
WHERE p.state = 1 AND p.expires_at > 0 AND p.expires_at <= $2 AND p.credit_account_id = ANY ($1::text::uuid[]);

-- name: next_expiries
-- When the next hold of each account expires, once those due are released: holds that this transaction is about to
-- release are counted still, which is early but never late.
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
-- What imported transfers must come after, and which of their timestamps an account has.
SELECT
    coalesce((SELECT max(t.timestamp) FROM ledger.transfer t WHERE t.flags < 32768), 0) AS newest,
    (SELECT coalesce(array_agg(a.timestamp), '{}') FROM ledger.account a WHERE a.timestamp = ANY ($1::bigint[])) AS taken;

-- name: one_importer
-- Imported events must come after all others, so only one batch of them runs at a time.
SELECT pg_advisory_xact_lock(x'696d706f7274'::bigint);

-- name: write
-- Everything a batch changes, in one round trip: journal rows, balances, holds, failed ids. The journal rows of a large
-- batch went ahead by COPY, and their arrays are empty here; so are those of what no account of the batch changed.
WITH journal AS (
    INSERT INTO ledger.transfer (
        accounting_date, xact,
        id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64, user_data_32, timeout,
        ledger, code, flags, timestamp, debit_version, credit_version,
        debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted,
        credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted
    )
    SELECT $1::date, $2::bigint, j.*
    FROM unnest(
        $3::text::uuid[], $4::text::uuid[], $5::text::uuid[], $6::text::bigint[], $7::text::uuid[], $8::text::uuid[], $9::text::bigint[], $10::text::bigint[],
        $11::text::bigint[], $12::text::bigint[], $13::text::integer[], $14::text::integer[], $15::text::bigint[], $16::text::bigint[],
        $17::text::bigint[], $18::text::bigint[], $19::text::bigint[], $20::text::bigint[], $21::text::bigint[], $22::text::bigint[], $23::text::bigint[],
        $24::text::bigint[], $25::text::bigint[]
    ) j
), balances AS (
    UPDATE ledger.account a SET
        debits_posted = u.debits_posted, credits_posted = u.credits_posted, version = u.version,
        debits_pending = coalesce(u.debits_pending, a.debits_pending),
        credits_pending = coalesce(u.credits_pending, a.credits_pending),
        next_expiry = coalesce(u.next_expiry, a.next_expiry), flags = coalesce(u.flags, a.flags)
    FROM unnest(
        $26::text::uuid[], $27::text::bigint[], $28::text::bigint[], $29::text::bigint[], $30::text::bigint[], $31::text::bigint[], $32::text::bigint[],
        $33::text::integer[]
    ) u (id, debits_posted, credits_posted, version, debits_pending, credits_pending, next_expiry, flags)
    WHERE a.id = u.id
    RETURNING 1
), opened AS (
    INSERT INTO ledger.pending (id, debit_account_id, credit_account_id, expires_at, state)
    SELECT o.id, o.debit_account_id, o.credit_account_id, o.expires_at, o.state
    FROM unnest($34::text::uuid[], $35::text::uuid[], $36::text::uuid[], $37::text::bigint[], $38::text::smallint[])
        o (id, debit_account_id, credit_account_id, expires_at, state)
), resolved AS (
    UPDATE ledger.pending p SET state = r.state
    FROM unnest($39::text::uuid[], $40::text::smallint[]) r (id, state)
    WHERE p.id = r.id AND p.state = 1
    RETURNING 1
), failed AS (
    INSERT INTO ledger.failed_transfer (id, status, timestamp)
    SELECT f.id, f.status, f.timestamp
    FROM unnest($41::text::uuid[], $42::text::integer[], $43::text::bigint[]) f (id, status, timestamp)
)
SELECT (SELECT count(*) FROM balances) AS accounts, (SELECT count(*) FROM resolved) AS holds;
