-- columns: attempt_in_doubt
id AS attempt_id, payment_id, channel, method, state, doubt_since, next_query_at, channel_code

-- columns: refund_in_doubt
id AS refund_id, payment_id, channel, route, state, doubt_since, next_query_at, channel_code

-- name: list_attempts_in_doubt
-- Attempts whose channel owes an answer, oldest doubt first.
SELECT {attempt_in_doubt}
FROM payments.attempt
WHERE doubt_since IS NOT NULL
ORDER BY doubt_since
LIMIT $1;

-- name: list_refunds_in_doubt
-- Refunds whose channel owes an answer, oldest doubt first.
SELECT {refund_in_doubt}
FROM payments.refund
WHERE doubt_since IS NOT NULL
ORDER BY doubt_since
LIMIT $1;

-- name: count_attempts_in_doubt
-- How many attempts are in doubt, by age, oldest first: $1 holds the instants between the ages, ascending.
SELECT width_bucket(doubt_since, $1::timestamptz []) + 1 AS bucket, count(*) AS count
FROM payments.attempt
WHERE doubt_since IS NOT NULL
GROUP BY bucket;

-- name: count_refunds_in_doubt
-- How many refunds are in doubt, by age as above.
SELECT width_bucket(doubt_since, $1::timestamptz []) + 1 AS bucket, count(*) AS count
FROM payments.refund
WHERE doubt_since IS NOT NULL
GROUP BY bucket;

-- name: claim_attempt_alarms
-- Attempts in doubt since before $1 that have not been reported at this age; each is reported once, by one worker.
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

-- name: claim_refund_alarms
-- Refunds in doubt, likewise.
UPDATE payments.refund AS r
SET doubt_alarms = $2
WHERE r.id = ANY (
    ARRAY(
        SELECT old.id
        FROM payments.refund AS old
        WHERE old.doubt_since <= $1 AND old.doubt_alarms < $2
        ORDER BY old.doubt_since
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING r.id, r.channel, r.state, r.doubt_since;
