-- name: account_transfers
-- The transfers of an account, with its balances after each: two index scans in the order of its versions.
(SELECT {t.transfer}, t.debit_debits_pending AS debits_pending, t.debit_debits_posted AS debits_posted,
    t.debit_credits_pending AS credits_pending, t.debit_credits_posted AS credits_posted
    FROM ledger.journal t
    WHERE :debits::boolean AND t.debit_account_id = :account_id AND t.timestamp BETWEEN :least AND :most
        AND t.flags < 32768
        AND (:user_data_128::uuid = ledger.nil() OR t.user_data_128 = :user_data_128)
        AND (:user_data_64::bigint = 0 OR t.user_data_64 = :user_data_64)
        AND (:user_data_32::bigint = 0 OR t.user_data_32 = :user_data_32)
        AND (:code::integer = 0 OR t.code = :code)
    ORDER BY t.debit_version LIMIT :limit)
UNION ALL
(SELECT {t.transfer}, t.credit_debits_pending, t.credit_debits_posted, t.credit_credits_pending, t.credit_credits_posted
    FROM ledger.journal t
    WHERE :credits::boolean AND t.credit_account_id = :account_id AND t.timestamp BETWEEN :least AND :most
        AND t.flags < 32768
        AND (:user_data_128::uuid = ledger.nil() OR t.user_data_128 = :user_data_128)
        AND (:user_data_64::bigint = 0 OR t.user_data_64 = :user_data_64)
        AND (:user_data_32::bigint = 0 OR t.user_data_32 = :user_data_32)
        AND (:code::integer = 0 OR t.code = :code)
    ORDER BY t.credit_version LIMIT :limit)
ORDER BY timestamp LIMIT :limit;

-- name: account_transfers_reversed
-- The transfers of an account, newest first, with its balances after each: two index scans in the order of its versions.
(SELECT {t.transfer}, t.debit_debits_pending AS debits_pending, t.debit_debits_posted AS debits_posted,
    t.debit_credits_pending AS credits_pending, t.debit_credits_posted AS credits_posted
    FROM ledger.journal t
    WHERE :debits::boolean AND t.debit_account_id = :account_id AND t.timestamp BETWEEN :least AND :most
        AND t.flags < 32768
        AND (:user_data_128::uuid = ledger.nil() OR t.user_data_128 = :user_data_128)
        AND (:user_data_64::bigint = 0 OR t.user_data_64 = :user_data_64)
        AND (:user_data_32::bigint = 0 OR t.user_data_32 = :user_data_32)
        AND (:code::integer = 0 OR t.code = :code)
    ORDER BY t.debit_version DESC LIMIT :limit)
UNION ALL
(SELECT {t.transfer}, t.credit_debits_pending, t.credit_debits_posted, t.credit_credits_pending, t.credit_credits_posted
    FROM ledger.journal t
    WHERE :credits::boolean AND t.credit_account_id = :account_id AND t.timestamp BETWEEN :least AND :most
        AND t.flags < 32768
        AND (:user_data_128::uuid = ledger.nil() OR t.user_data_128 = :user_data_128)
        AND (:user_data_64::bigint = 0 OR t.user_data_64 = :user_data_64)
        AND (:user_data_32::bigint = 0 OR t.user_data_32 = :user_data_32)
        AND (:code::integer = 0 OR t.code = :code)
    ORDER BY t.credit_version DESC LIMIT :limit)
ORDER BY timestamp DESC LIMIT :limit;

-- name: keeps_history
-- Balances after each transfer are shown only for accounts that were made to keep them.
SELECT flags & 8 <> 0 AS history FROM ledger.account WHERE id = $1;

-- name: query_transfers
-- Transfers in the order of their timestamps.
SELECT {t.transfer}
FROM ledger.journal t
WHERE t.timestamp BETWEEN :least AND :most AND t.flags < 32768
    AND (:user_data_64::bigint = 0 OR t.user_data_64 = :user_data_64)
    AND (:user_data_32::bigint = 0 OR t.user_data_32 = :user_data_32)
    AND (:ledger::bigint = 0 OR t.ledger = :ledger) AND (:code::integer = 0 OR t.code = :code)
ORDER BY t.timestamp LIMIT :limit;

-- name: query_transfers_reversed
-- Transfers in the order of their timestamps, newest first.
SELECT {t.transfer}
FROM ledger.journal t
WHERE t.timestamp BETWEEN :least AND :most AND t.flags < 32768
    AND (:user_data_64::bigint = 0 OR t.user_data_64 = :user_data_64)
    AND (:user_data_32::bigint = 0 OR t.user_data_32 = :user_data_32)
    AND (:ledger::bigint = 0 OR t.ledger = :ledger) AND (:code::integer = 0 OR t.code = :code)
ORDER BY t.timestamp DESC LIMIT :limit;

-- name: query_transfers_of
-- Transfers that carry one user_data_128, by an index of their own.
SELECT {t.transfer}
FROM ledger.journal t
WHERE t.user_data_128 = :user_data_128 AND t.user_data_128 <> '00000000-0000-0000-0000-000000000000'
    AND t.timestamp BETWEEN :least AND :most AND t.flags < 32768
    AND (:user_data_64::bigint = 0 OR t.user_data_64 = :user_data_64)
    AND (:user_data_32::bigint = 0 OR t.user_data_32 = :user_data_32)
    AND (:ledger::bigint = 0 OR t.ledger = :ledger) AND (:code::integer = 0 OR t.code = :code)
ORDER BY CASE WHEN :reversed::boolean THEN -t.timestamp ELSE t.timestamp END LIMIT :limit;

-- name: query_accounts
-- Accounts in the order in which they were created, or the reverse.
SELECT {t.account}
FROM ledger.account t
WHERE t.timestamp BETWEEN :least AND :most
    AND (:user_data_128::uuid = ledger.nil() OR t.user_data_128 = :user_data_128)
    AND (:user_data_64::bigint = 0 OR t.user_data_64 = :user_data_64)
    AND (:user_data_32::bigint = 0 OR t.user_data_32 = :user_data_32)
    AND (:ledger::bigint = 0 OR t.ledger = :ledger) AND (:code::integer = 0 OR t.code = :code)
ORDER BY CASE WHEN :reversed::boolean THEN -t.timestamp ELSE t.timestamp END LIMIT :limit;
