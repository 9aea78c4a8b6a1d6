-- name: known_accounts
-- The accounts of a batch that exist already, for the comparison with what is asked.
SELECT id, user_data_128, user_data_64, user_data_32, ledger, code, flags, timestamp
FROM ledger.account WHERE id = ANY ($1::uuid[]);

-- name: newest_account
-- What imported accounts must come after, and which of their timestamps a transfer has.
SELECT
    coalesce((SELECT max(a.timestamp) FROM ledger.account a), 0) AS newest,
    (SELECT coalesce(array_agg(t.timestamp), '{}') FROM ledger.transfer t WHERE t.timestamp = ANY ($1::bigint[])) AS taken;

-- name: tick
-- The first of some consecutive timestamps.
SELECT ledger.tick($1, $2) AS first;

-- name: insert_accounts
-- New accounts in id order; one that somebody else opened in the meantime is left out of the answer.
INSERT INTO ledger.account (id, user_data_128, user_data_64, user_data_32, ledger, code, flags, timestamp)
SELECT u.id, u.user_data_128, u.user_data_64, u.user_data_32, u.ledger, u.code, u.flags, u.timestamp
FROM unnest(
    $1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[], $8::bigint[]
) u (id, user_data_128, user_data_64, user_data_32, ledger, code, flags, timestamp)
ORDER BY u.id
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: open_accounts
-- Accounts of the chart opened on demand; those that exist cost a look and nothing else.
INSERT INTO ledger.account (id, user_data_128, user_data_64, user_data_32, ledger, code, flags, timestamp)
SELECT n.id, n.owner, 0, 0, n.ledger, n.code, n.flags, ledger.tick(1, $6)
FROM (
    SELECT u.id, u.owner, u.ledger, u.code, u.flags
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::integer[], $5::integer[]) u (id, owner, ledger, code, flags)
    WHERE NOT EXISTS (SELECT 1 FROM ledger.account a WHERE a.id = u.id)
    ORDER BY u.id
) n
ON CONFLICT (id) DO NOTHING;

-- name: lookup_accounts
-- Accounts by id.
SELECT id, debits_pending, debits_posted, credits_pending, credits_posted, user_data_128, user_data_64, user_data_32,
    ledger, code, flags, timestamp
FROM ledger.account WHERE id = ANY ($1::uuid[]);

-- name: lookup_transfers
-- Transfers by id; the bounds keep the search to the partitions that can hold them.
SELECT id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64, user_data_32, timeout,
    ledger, code, flags, timestamp
FROM ledger.transfer WHERE id = ANY ($1::uuid[]) AND id BETWEEN $2 AND $3 AND flags < 32768;

-- name: trial_balance
-- The four sums of each ledger: debits equal credits, posted and pending.
SELECT ledger, sum(debits_posted)::numeric AS debits_posted, sum(credits_posted)::numeric AS credits_posted,
    sum(debits_pending)::numeric AS debits_pending, sum(credits_pending)::numeric AS credits_pending
FROM ledger.account GROUP BY ledger ORDER BY ledger;
