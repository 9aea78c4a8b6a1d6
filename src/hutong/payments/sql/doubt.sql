-- name: list_attempts_in_doubt
-- Attempts whose channel owes us a word, oldest doubt first.
SELECT id, payment_id, channel, method, state, doubt_since, next_query_at, channel_code
FROM payments.attempt
WHERE doubt_since IS NOT NULL
ORDER BY doubt_since
LIMIT $1;

-- name: count_doubts
-- How many there are, oldest age first: $1 holds the instants between the ages, ascending.
SELECT width_bucket(doubt_since, $1::timestamptz []) + 1 AS bucket, count(*) AS attempts
FROM payments.attempt
WHERE doubt_since IS NOT NULL
GROUP BY bucket;

-- name: count_open_refunds
-- How many refunds wait for the outcome at their channel, by age as above.
SELECT width_bucket(created_at, $1::timestamptz []) + 1 AS bucket, count(*) AS refunds
FROM payments.refund
WHERE next_query_at IS NOT NULL
GROUP BY bucket;

-- name: claim_doubt_alarms
-- Attempts that have been in doubt since before $1 and have not been reported at this age; reported once by one worker.
UPDATE payments.attempt AS a
SET doubt_alarms = $2
WHERE a.id = ANY (
    ARRAY(
        SELECT old.id
        FROM payments.attempt AS old
        WHERE old.doubt_since <= $1 AND old.doubt_alarms < $2
        ORDER BY old.doubt_since
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING a.id, a.channel, a.state, a.doubt_since;
