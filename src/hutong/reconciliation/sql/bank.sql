-- columns: bank_account
id AS bank_account_id, name, number, currency, created_at

-- columns: bank_arrival
id uuid, account_id uuid, batch text, currency text, channel_account_id uuid, last_day date

-- name: add_bank_account
-- A name or a number that another account has conflicts.
INSERT INTO reconciliation.bank_account (id, name, number, currency, created_at)
VALUES (:bank_account_id, :name, :number, :currency, :created_at)
ON CONFLICT DO NOTHING
RETURNING {bank_account};

-- name: list_bank_accounts
-- In the order in which they came.
SELECT {a.bank_account}
FROM reconciliation.bank_account AS a
WHERE :bank_account_id::uuid IS NULL OR a.id = :bank_account_id
ORDER BY a.id;

-- name: add_bank_arrivals
-- Rows for batches that have none yet, in sorted order.
INSERT INTO reconciliation.bank_arrival ({bank_arrival})
SELECT {bank_arrival}
FROM unnest({bank_arrival[]}) AS a ({bank_arrival})
ORDER BY account_id, batch, currency, channel_account_id
ON CONFLICT (account_id, batch, currency, channel_account_id) DO NOTHING;

-- name: lock_bank_arrivals
-- What is booked of an account's batches, locked in sorted order.
SELECT id, batch, currency, channel_account_id, amount_minor, postings, last_day
FROM reconciliation.bank_arrival
WHERE account_id = :account_id AND batch = ANY (:batches::text[])
ORDER BY account_id, batch, currency, channel_account_id
FOR UPDATE;

-- name: change_bank_arrivals
-- The new sums of rows that the caller has locked.
UPDATE reconciliation.bank_arrival AS a
SET amount_minor = u.amount_minor, postings = a.postings + 1, last_day = :day
FROM unnest(:ids::uuid[], :amounts::bigint[]) AS u (id, amount_minor)
WHERE a.id = u.id;

-- name: set_bills_closed
-- The bills of accounts and days whose money has arrived, or whose money the bank has taken back.
UPDATE reconciliation.file AS f
SET state = CASE WHEN u.is_paid THEN 'closed' ELSE 'matched' END
FROM unnest(:account_ids::uuid[], :days::date[], :are_paid::boolean[]) AS u (account_id, day, is_paid)
WHERE f.account_id = u.account_id AND f.day = u.day AND f.source = 'bill'
    AND f.state = CASE WHEN u.is_paid THEN 'matched' ELSE 'closed' END
RETURNING {f.bill_file};
