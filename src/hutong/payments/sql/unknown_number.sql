-- columns: unknown_report
state text, amount_minor bigint, currency text, channel_order_no text, happened_at timestamptz

-- columns: unknown_number
account_id, number, about, {unknown_report}, first_at, last_at

-- name: keep_unknown_number
-- A later report of the same number replaces the earlier one, and asks for a decision again.
INSERT INTO payments.unknown_number AS u (account_id, number, about, message, first_at, last_at, {unknown_report})
SELECT n.account_id, n.number, n.about, n.message, :at::timestamptz, :at::timestamptz, {n.unknown_report}
FROM unnest(:account_id::uuid [], :number::text [], :about::text [], :message::bytea [], {unknown_report[]})
    AS n (account_id, number, about, message, {unknown_report})
ON CONFLICT (account_id, number) DO UPDATE
    SET ({unknown_report}) = ROW ({EXCLUDED.unknown_report}),
        message = EXCLUDED.message, last_at = EXCLUDED.last_at, adopted_at = NULL;

-- name: list_unknown_numbers
-- The numbers that wait for a decision, oldest first.
SELECT {unknown_number}
FROM payments.unknown_number
WHERE adopted_at IS NULL AND ($1::text IS NULL OR number = $1)
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
-- The open attempts and refunds from before a restore that no channel was asked about since.
SELECT
    (SELECT count(*) FROM payments.attempt AS a
        WHERE a.next_query_at IS NOT NULL AND a.queries = 0 AND a.created_at < $1) AS attempts,
    (SELECT count(*) FROM payments.refund AS r
        WHERE r.next_query_at IS NOT NULL AND r.queries = 0 AND r.created_at < $1) AS refunds;
