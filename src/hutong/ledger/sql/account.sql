-- columns: account_fields
user_data_128 uuid, user_data_64 bigint, user_data_32 bigint, ledger bigint, code integer, flags integer,
timestamp bigint

-- columns: account
id, debits_pending, debits_posted, credits_pending, credits_posted, {account_fields}

-- columns: new_account
id uuid, {account_fields}

-- name: known_accounts
-- The accounts of a batch that exist already, to compare them with the request.
SELECT {new_account} FROM ledger.account WHERE id = ANY ($1::uuid[]);

-- name: newest_account
-- The timestamp that imported accounts must come after, and those of their timestamps that a transfer has.
SELECT
    coalesce((SELECT max(a.timestamp) FROM ledger.account a), 0) AS newest,
    (SELECT coalesce(array_agg(t.timestamp), '{}') FROM ledger.journal t WHERE t.timestamp = ANY ($1::bigint[])) AS taken;

-- name: tick
-- The first of some consecutive timestamps.
SELECT ledger.tick($1, $2) AS first;

-- name: insert_accounts
-- New accounts in id order; one that another connection opened in the meantime is missing from the result.
INSERT INTO ledger.account ({new_account})
SELECT {u.new_account}
FROM unnest({new_account[]}) AS u ({new_account})
ORDER BY u.id
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: open_accounts
-- Accounts of the chart opened on demand; those that exist cost a lookup and nothing else.
INSERT INTO ledger.account ({new_account})
SELECT n.id, n.owner, 0, 0, n.ledger, n.code, n.flags, ledger.tick(1, :now_ns)
FROM (
    SELECT u.id, u.owner, u.ledger, u.code, u.flags
    FROM unnest(:id::uuid[], :owner::uuid[], :ledger::bigint[], :code::integer[], :flags::integer[])
        AS u (id, owner, ledger, code, flags)
    WHERE NOT EXISTS (SELECT 1 FROM ledger.account a WHERE a.id = u.id)
    ORDER BY u.id
) n
ON CONFLICT (id) DO NOTHING;

-- name: lookup_accounts
-- Accounts by id.
SELECT {account} FROM ledger.account WHERE id = ANY ($1::uuid[]);

-- name: balances_of_owner
-- The balances of an owner's accounts of some subjects.
SELECT ledger, code, debits_pending, debits_posted, credits_pending, credits_posted, overdraft_limit
FROM ledger.account
WHERE user_data_128 = $1 AND code = ANY ($2::integer[]);

-- name: trial_balance
-- The four sums of each ledger: debits equal credits, posted and pending.
SELECT ledger, sum(debits_posted)::numeric AS debits_posted, sum(credits_posted)::numeric AS credits_posted,
    sum(debits_pending)::numeric AS debits_pending, sum(credits_pending)::numeric AS credits_pending
FROM ledger.account GROUP BY ledger ORDER BY ledger;

-- name: set_overdraft_limit
-- The new limit and the record of the change, together or not at all.
WITH previous AS (
    SELECT id, overdraft_limit FROM ledger.account WHERE id = $1 FOR NO KEY UPDATE
), change AS (
    INSERT INTO ledger.overdraft_change (account_id, old_limit, new_limit, changed_at, changed_by, reason)
    SELECT p.id, p.overdraft_limit, $2, $3, $4, $5 FROM previous p WHERE p.overdraft_limit <> $2
)
UPDATE ledger.account a SET overdraft_limit = $2 FROM previous p WHERE a.id = p.id
RETURNING p.overdraft_limit AS old_limit;
