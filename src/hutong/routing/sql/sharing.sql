-- name: add_results
-- What this process has learnt since it last told.
INSERT INTO routing.result (told_by, attempt_id, account_id, interface, institution, fault, latency_ms, at)
SELECT $1::uuid, r.attempt_id, r.account_id, r.interface, r.institution, r.fault, r.latency_ms, r.at
FROM unnest(
    $2::uuid [], $3::uuid [], $4::text [], $5::text [], $6::boolean [], $7::integer [], $8::timestamptz []
) AS r (attempt_id, account_id, interface, institution, fault, latency_ms, at)
ON CONFLICT DO NOTHING;

-- name: visible_before
-- Every transaction before this one has ended: what is read now of those is all that there will ever be.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin;

-- name: results_since
-- What others have told. What is read twice is known by its attempt.
SELECT account_id, attempt_id, interface, institution, fault, latency_ms, at
FROM routing.result
WHERE written_in >= $1::text::xid8 AND told_by <> $2 AND at > $3
ORDER BY written_in;

-- name: add_volumes
-- In the order of the accounts, so that processes never wait crosswise.
INSERT INTO routing.volume AS v (account_id, month, currency, amount_minor, subsidy_minor)
SELECT n.account_id, n.month, n.currency, n.amount_minor, n.subsidy_minor
FROM unnest($1::uuid [], $2::date [], $3::text [], $4::bigint [], $5::bigint [])
    AS n (account_id, month, currency, amount_minor, subsidy_minor)
ORDER BY n.account_id, n.month, n.currency
ON CONFLICT (account_id, month, currency) DO UPDATE
SET amount_minor = v.amount_minor + excluded.amount_minor, subsidy_minor = v.subsidy_minor + excluded.subsidy_minor;

-- name: volumes
-- What has gone through each account this month, by currency.
SELECT account_id, currency, amount_minor, subsidy_minor
FROM routing.volume
WHERE month = $1
ORDER BY account_id, currency;

-- name: forget_results
-- What is older than this says nothing about now.
DELETE FROM routing.result
WHERE at < $1;
