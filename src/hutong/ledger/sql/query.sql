-- name: account_transfers
-- The transfers of an account, with its balances after each: two index scans in the order of its versions.
(SELECT t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
    t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.timestamp, t.debit_debits_pending, t.debit_debits_posted,
    t.debit_credits_pending, t.debit_credits_posted
    FROM ledger.transfer t
    WHERE $8::boolean AND t.debit_account_id = $1 AND t.timestamp BETWEEN $2 AND $3 AND t.flags < 32768
        AND ($4::uuid = ledger.nil() OR t.user_data_128 = $4) AND ($5::bigint = 0 OR t.user_data_64 = $5)
        AND ($6::bigint = 0 OR t.user_data_32 = $6) AND ($7::integer = 0 OR t.code = $7)
    ORDER BY t.debit_version LIMIT $10)
UNION ALL
(SELECT t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
    t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.timestamp, t.credit_debits_pending, t.credit_debits_posted,
    t.credit_credits_pending, t.credit_credits_posted
    FROM ledger.transfer t
    WHERE $9::boolean AND t.credit_account_id = $1 AND t.timestamp BETWEEN $2 AND $3 AND t.flags < 32768
        AND ($4::uuid = ledger.nil() OR t.user_data_128 = $4) AND ($5::bigint = 0 OR t.user_data_64 = $5)
        AND ($6::bigint = 0 OR t.user_data_32 = $6) AND ($7::integer = 0 OR t.code = $7)
    ORDER BY t.credit_version LIMIT $10)
ORDER BY timestamp LIMIT $10;

-- name: account_transfers_reversed
-- The transfers of an account, newest first, with its balances after each: two index scans in the order of its versions.
(SELECT t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
    t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.timestamp, t.debit_debits_pending, t.debit_debits_posted,
    t.debit_credits_pending, t.debit_credits_posted
    FROM ledger.transfer t
    WHERE $8::boolean AND t.debit_account_id = $1 AND t.timestamp BETWEEN $2 AND $3 AND t.flags < 32768
        AND ($4::uuid = ledger.nil() OR t.user_data_128 = $4) AND ($5::bigint = 0 OR t.user_data_64 = $5)
        AND ($6::bigint = 0 OR t.user_data_32 = $6) AND ($7::integer = 0 OR t.code = $7)
    ORDER BY t.debit_version DESC LIMIT $10)
UNION ALL
(SELECT t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
    t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.timestamp, t.credit_debits_pending, t.credit_debits_posted,
    t.credit_credits_pending, t.credit_credits_posted
    FROM ledger.transfer t
    WHERE $9::boolean AND t.credit_account_id = $1 AND t.timestamp BETWEEN $2 AND $3 AND t.flags < 32768
        AND ($4::uuid = ledger.nil() OR t.user_data_128 = $4) AND ($5::bigint = 0 OR t.user_data_64 = $5)
        AND ($6::bigint = 0 OR t.user_data_32 = $6) AND ($7::integer = 0 OR t.code = $7)
    ORDER BY t.credit_version DESC LIMIT $10)
ORDER BY timestamp DESC LIMIT $10;

-- name: keeps_history
-- Balances after each transfer are shown only for accounts that were made to keep them.
SELECT flags & 8 <> 0 AS history FROM ledger.account WHERE id = $1;

-- name: query_transfers
-- Transfers in the order of their timestamps.
SELECT t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
    t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.timestamp
FROM ledger.transfer t
WHERE t.timestamp BETWEEN $1 AND $2 AND t.flags < 32768
    AND ($3::bigint = 0 OR t.user_data_64 = $3) AND ($4::bigint = 0 OR t.user_data_32 = $4)
    AND ($5::bigint = 0 OR t.ledger = $5) AND ($6::integer = 0 OR t.code = $6)
ORDER BY t.timestamp LIMIT $7;

-- name: query_transfers_reversed
-- Transfers in the order of their timestamps, newest first.
SELECT t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
    t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.timestamp
FROM ledger.transfer t
WHERE t.timestamp BETWEEN $1 AND $2 AND t.flags < 32768
    AND ($3::bigint = 0 OR t.user_data_64 = $3) AND ($4::bigint = 0 OR t.user_data_32 = $4)
    AND ($5::bigint = 0 OR t.ledger = $5) AND ($6::integer = 0 OR t.code = $6)
ORDER BY t.timestamp DESC LIMIT $7;

-- name: query_transfers_of
-- Transfers that carry one user_data_128, by an index of their own.
SELECT t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
    t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.timestamp
FROM ledger.transfer t
WHERE t.user_data_128 = $8 AND t.user_data_128 <> '00000000-0000-0000-0000-000000000000'
    AND t.timestamp BETWEEN $1 AND $2 AND t.flags < 32768
    AND ($3::bigint = 0 OR t.user_data_64 = $3) AND ($4::bigint = 0 OR t.user_data_32 = $4)
    AND ($5::bigint = 0 OR t.ledger = $5) AND ($6::integer = 0 OR t.code = $6)
ORDER BY CASE WHEN $9::boolean THEN -t.timestamp ELSE t.timestamp END LIMIT $7;

-- name: query_accounts
-- Accounts in the order in which they were made, or the reverse.
SELECT t.id, t.debits_pending, t.debits_posted, t.credits_pending, t.credits_posted, t.user_data_128, t.user_data_64,
    t.user_data_32, t.ledger, t.code, t.flags, t.timestamp
FROM ledger.account t
WHERE t.timestamp BETWEEN $1 AND $2
    AND ($3::bigint = 0 OR t.user_data_64 = $3) AND ($4::bigint = 0 OR t.user_data_32 = $4)
    AND ($5::bigint = 0 OR t.ledger = $5) AND ($6::integer = 0 OR t.code = $6)
    AND ($8::uuid = ledger.nil() OR t.user_data_128 = $8)
ORDER BY CASE WHEN $9::boolean THEN -t.timestamp ELSE t.timestamp END LIMIT $7;

-- name: set_overdraft_limit
-- The new limit and the record of the change, together or not at all.
WITH before AS (
    SELECT id, overdraft_limit FROM ledger.account WHERE id = $1 FOR NO KEY UPDATE
), change AS (
    INSERT INTO ledger.overdraft_change (account_id, old_limit, new_limit, changed_at, changed_by, reason)
    SELECT b.id, b.overdraft_limit, $2, $3, $4, $5 FROM before b WHERE b.overdraft_limit <> $2
)
UPDATE ledger.account a SET overdraft_limit = $2 FROM before b WHERE a.id = b.id
RETURNING b.overdraft_limit AS old_limit;
