-- columns: unknown_report
state text, amount_minor bigint, currency text, channel_order_no text, happened_at timestamptz, paid_minor bigint,
settled_minor bigint

-- columns: unknown_number
account_id, number, about, {unknown_report}, first_at, last_at, source

-- name: keep_unknown_number
-- A later report of the same number replaces the earlier one, and asks for a decision again.
INSERT INTO payments.unknown_number AS u (account_id, number, about, message, first_at, last_at, {unknown_report})
SELECT n.account_id, n.number, n.about, n.message, :at::timestamptz, :at::timestamptz, {n.unknown_report}
FROM unnest(:account_id::uuid [], :number::text [], :about::text [], :message::bytea [], {unknown_report[]})
    AS n (account_id, number, about, message, {unknown_report})
ON CONFLICT (account_id, number) DO UPDATE
    SET ({unknown_report}) = ROW ({EXCLUDED.unknown_report}),
        message = EXCLUDED.message, last_at = EXCLUDED.last_at, adopted_at = NULL,
        source = 'notification', dismissed_at = NULL, dismissed_by = NULL, dismiss_reason = NULL;

-- name: list_unknown_numbers
-- The numbers that wait for a decision, oldest first.
SELECT {unknown_number}
FROM payments.unknown_number
WHERE adopted_at IS NULL AND dismissed_at IS NULL AND ($1::text IS NULL OR number = $1)
ORDER BY first_at, number;

-- name: mark_adopted
-- The number is known by now.
UPDATE payments.unknown_number
SET adopted_at = $3
WHERE account_id = $1 AND number = $2;

-- name: query_all_attempts
-- After a restore every open attempt is asked about, at once and with the fast cadence.
UPDATE payments.attempt
SET next_query_at = $1, queries = 0
WHERE state IN ('created', 'submitted', 'unknown', 'authorized');

-- name: query_all_refunds
-- The same for refunds.
UPDATE payments.refund
SET next_query_at = $1, queries = 0
WHERE next_query_at IS NOT NULL;

-- name: count_unasked
-- The open attempts and refunds from before a restore whose channels have given no definite answer since.
SELECT
    (SELECT count(*) FROM payments.attempt AS a
        WHERE a.next_query_at IS NOT NULL AND a.created_at < $1
            AND (a.answered_at IS NULL OR a.answered_at < $1)) AS attempts,
    (SELECT count(*) FROM payments.refund AS r
        WHERE r.next_query_at IS NOT NULL AND r.created_at < $1
            AND (r.answered_at IS NULL OR r.answered_at < $1)) AS refunds;

-- name: mark_attempt_answered
-- The channel has given a definite answer.
UPDATE payments.attempt
SET answered_at = $2
WHERE id = $1;

-- name: mark_refund_answered
-- The same for a refund.
UPDATE payments.refund
SET answered_at = $2
WHERE id = $1;

-- name: keep_bill_numbers
-- The rows of a bill whose attempts or refunds this database does not know. What is known about a number stays.
INSERT INTO payments.unknown_number
    (account_id, number, about, source, state, amount_minor, currency, channel_order_no, happened_at, first_at, last_at)
SELECT
    :account_id::uuid, n.number, n.about, 'bill', 'unknown', n.amount_minor, n.currency, n.channel_no, n.happened_at,
    :at::timestamptz, :at::timestamptz
FROM unnest(:our_id::uuid [], :number::text [], :about::text [], :amount_minor::bigint [], :currency::text [],
    :channel_no::text [], :happened_at::timestamptz [])
    AS n (our_id, number, about, amount_minor, currency, channel_no, happened_at)
WHERE NOT EXISTS (SELECT FROM payments.attempt AS a WHERE n.about = 'payment' AND a.id = n.our_id)
    AND NOT EXISTS (SELECT FROM payments.refund AS r WHERE n.about = 'refund' AND r.id = n.our_id)
ORDER BY n.number
ON CONFLICT DO NOTHING
RETURNING number;

-- name: adopt_proven
-- Numbers of bills that have become known, and whose success their channels have proven, with the amount of the bill.
UPDATE payments.unknown_number AS u
SET adopted_at = :at::timestamptz
FROM unnest(:account_id::uuid [], :number::text [], :our_id::uuid []) AS n (account_id, number, our_id)
WHERE u.account_id = n.account_id AND u.number = n.number AND u.source = 'bill' AND u.adopted_at IS NULL
    AND (
        EXISTS (
            SELECT FROM payments.attempt AS a
            JOIN payments.payment AS p ON p.id = a.payment_id
            WHERE u.about = 'payment' AND a.id = n.our_id AND a.account_id = u.account_id AND a.state = 'succeeded'
                AND coalesce(a.amount_captured_minor, p.amount_minor) = u.amount_minor AND p.currency = u.currency
        )
        OR EXISTS (
            SELECT FROM payments.refund AS r
            WHERE u.about = 'refund' AND r.id = n.our_id AND r.account_id = u.account_id AND r.state = 'succeeded'
                AND r.amount_minor = u.amount_minor AND r.currency = u.currency
        )
    )
RETURNING u.number;

-- name: dismiss_number
-- A person has decided that a number is not to be adopted.
UPDATE payments.unknown_number
SET dismissed_at = $3, dismissed_by = $4, dismiss_reason = $5
WHERE account_id = $1 AND number = $2 AND adopted_at IS NULL;

-- name: owners_of_numbers
-- The attempts and refunds with these ids, with their payments.
SELECT a.id, a.payment_id FROM payments.attempt AS a WHERE a.id = ANY ($1::uuid [])
UNION ALL
SELECT r.id, r.payment_id FROM payments.refund AS r WHERE r.id = ANY ($1::uuid []);
