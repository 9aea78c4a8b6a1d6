-- columns: result
attempt_id uuid, interface text, institution text, fault boolean, latency_ms integer, at timestamptz

-- columns: volume
amount_minor bigint, subsidy_minor bigint

-- name: add_results
-- The results of this process since it last shared them.
INSERT INTO routing.result (told_by, account_id, {result})
SELECT :process_id::uuid, r.account_id, {r.result}
FROM unnest(:account_id::uuid [], {result[]}) AS r (account_id, {result})
ON CONFLICT DO NOTHING;

-- name: visible_before
-- Every transaction before this one has ended: what is read of those now is final.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin;

-- name: results_since
-- The results of other processes. One that is read twice is recognized by its attempt.
SELECT account_id, {result}
FROM routing.result
WHERE written_in >= $1::text::xid8 AND told_by <> $2 AND at > $3 AND at <= $4
ORDER BY written_in;

-- name: add_volumes
-- In the order of the accounts, so that processes never wait for each other crosswise.
INSERT INTO routing.volume AS v (account_id, month, currency, {volume})
SELECT n.account_id, n.month, n.currency, {n.volume}
FROM unnest(:account_id::uuid [], :month::date [], :currency::text [], {volume[]})
    AS n (account_id, month, currency, {volume})
ORDER BY n.account_id, n.month, n.currency
ON CONFLICT (account_id, month, currency) DO UPDATE
SET amount_minor = v.amount_minor + excluded.amount_minor, subsidy_minor = v.subsidy_minor + excluded.subsidy_minor;

-- name: volumes
-- This month's volume of each account, by currency.
SELECT account_id, currency, {volume}
FROM routing.volume
WHERE month = $1
ORDER BY account_id, currency;

-- name: delete_results
-- Results that are too old to be evidence about the present, and those of a clock that was fast.
DELETE FROM routing.result
WHERE at < $1 OR at > $2;
