-- columns: attempt_intent
-- The intent, known before the channel is called.
payment_id uuid, account_id uuid, channel text, method text, payer_ip text, notify_url text, return_url text,
payer_sealed bytea, expires_at timestamptz, authorization_kept interval

-- columns: attempt_state
-- What changes with each report.
state text, surplus boolean, action_kind text, action_content text, channel_order_no text, channel_code text,
channel_message text, finished_at timestamptz, next_query_at timestamptz, amount_captured_minor bigint,
doubt_since timestamptz, verify_at timestamptz, code text, code_entry text, retryable boolean, amount_paid_minor bigint,
amount_settled_minor bigint, channel_discounts text

-- columns: attempt
id AS attempt_id, {attempt_intent}, {attempt_state}, queries, created_at, close_requested_at

-- name: insert_attempts
-- The intent, written down before the channel is called.
INSERT INTO payments.attempt (id, ordinal, state, created_at, next_query_at, {attempt_intent})
SELECT n.id, (SELECT count(*) + 1 FROM payments.attempt a WHERE a.payment_id = n.payment_id), 'created',
    :created_at::timestamptz, n.next_query_at, {n.attempt_intent}
FROM unnest(:attempt_id::uuid [], :next_query_at::timestamptz [], {attempt_intent[]})
    AS n (id, next_query_at, {attempt_intent});

-- name: find_order
-- The attempt that has this id or, without one, this number of its channel's, at this account.
SELECT {attempt} FROM payments.attempt WHERE id = :attempt_id AND account_id = :account_id
UNION ALL
SELECT {attempt} FROM payments.attempt
WHERE :attempt_id::uuid IS NULL AND channel_order_no = :channel_order_no AND account_id = :account_id;

-- name: find_attempts
-- All attempts of some payments, first to last.
SELECT {attempt}
FROM payments.attempt
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, created_at, ordinal, id;

-- name: find_attempt_outcomes
-- The outcomes of attempts that routing has decided about.
SELECT id, state, code
FROM payments.attempt
WHERE id = ANY ($1::uuid []);

-- name: update_attempts
-- The new states of attempts whose payments the caller has locked. The payer's details are deleted at the end.
UPDATE payments.attempt AS a
SET ({attempt_state}) = ROW ({u.attempt_state}),
    source = u.source,
    doubt_alarms = CASE WHEN u.doubt_since IS NULL THEN 0 ELSE a.doubt_alarms END,
    payer_sealed = CASE WHEN u.finished_at IS NULL THEN a.payer_sealed END
FROM unnest(:attempt_id::uuid [], :source::text [], {attempt_state[]}) AS u (id, source, {attempt_state})
WHERE a.id = u.id;

-- name: query_now
-- Attempts to be closed or captured are due from this time on, with the fast cadence again; until they are answered
-- they are in doubt.
UPDATE payments.attempt
SET next_query_at = $2, queries = 0, doubt_since = coalesce(doubt_since, $3)
WHERE payment_id = ANY ($1::uuid []) AND state IN ('created', 'submitted', 'unknown', 'authorized');

-- name: end_attempts
-- Attempts that make way for another one. The first request's time stays.
UPDATE payments.attempt
SET close_requested_at = coalesce(close_requested_at, $2), next_query_at = $2, queries = 0,
    doubt_since = coalesce(doubt_since, $2)
WHERE id = ANY ($1::uuid []) AND state IN ('created', 'submitted', 'unknown');

-- name: wake_attempts
-- An account answers again, or is to be asked whether it does: those of its attempts that wait are due at once.
UPDATE payments.attempt
SET next_query_at = $2, queries = 0
WHERE id = ANY (
    ARRAY(
        SELECT waiting.id
        FROM payments.attempt AS waiting
        WHERE waiting.account_id = $1 AND waiting.next_query_at > $2
        ORDER BY waiting.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
);

-- name: claim_due_attempts
-- Attempts without a report in time. The claim is a later time, so that a process that dies loses nothing. One that has
-- no answer by now is in doubt. Accounts that do not answer are left out.
UPDATE payments.attempt AS a
SET next_query_at = $2, queries = a.queries + 1,
    doubt_since = CASE
        WHEN a.state IN ('created', 'unknown') THEN coalesce(a.doubt_since, a.created_at) ELSE a.doubt_since
    END
WHERE a.id = ANY (
    ARRAY(
        SELECT due.id
        FROM payments.attempt AS due
        WHERE due.next_query_at <= $1 AND due.account_id <> ALL ($4::uuid [])
        ORDER BY due.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING {a.attempt};

-- name: claim_verifiable_attempts
-- Attempts that ended unpaid a while ago, to be queried once more; without an answer again, but for days at most.
UPDATE payments.attempt AS a
SET verify_at = CASE WHEN a.finished_at > $4 THEN $2::timestamptz END
WHERE a.id = ANY (
    ARRAY(
        SELECT due.id
        FROM payments.attempt AS due
        WHERE due.verify_at <= $1 AND due.account_id <> ALL ($5::uuid [])
        ORDER BY due.verify_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING {a.attempt};

-- name: end_verification
-- The channel has answered.
UPDATE payments.attempt
SET verify_at = NULL
WHERE id = $1;

-- name: claim_notifications
-- The notifications that were not taken before; in key order, so that batches never deadlock.
INSERT INTO payments.notice (account_id, replay_key, received_at)
SELECT n.account_id, n.replay_key, $3::timestamptz
FROM unnest($1::uuid [], $2::bytea []) AS n (account_id, replay_key)
ORDER BY n.account_id, n.replay_key
ON CONFLICT DO NOTHING
RETURNING account_id, replay_key;

-- name: forget_notifications
-- A notification older than the time window is refused for its age, so it need not be kept.
DELETE FROM payments.notice
WHERE received_at < $1;
