-- name: insert_attempts
-- The intent, written down before the channel is called.
INSERT INTO payments.attempt (
    id, payment_id, account_id, channel, method, payer_ip, state, created_at, next_query_at, notify_url, return_url,
    payer_sealed, expires_at, authorization_kept, decision
)
SELECT n.id, n.payment_id, n.account_id, n.channel, n.method, n.payer_ip, 'created', $7::timestamptz, n.next_query_at,
    n.notify_url, n.return_url, n.payer_sealed, n.expires_at, n.authorization_kept, n.decision
FROM unnest(
    $1::uuid [], $2::uuid [], $3::uuid [], $4::text [], $5::text [], $6::text [], $8::timestamptz [], $9::text [],
    $10::text [], $11::bytea [], $12::timestamptz [], $13::interval [], $14::jsonb []
) AS n (
    id, payment_id, account_id, channel, method, payer_ip, next_query_at, notify_url, return_url, payer_sealed,
    expires_at, authorization_kept, decision
);

-- name: find_attempts
-- All attempts of some payments, first to last.
SELECT id, payment_id, account_id, channel, method, state, surplus, action_kind, action_content, channel_order_no,
    channel_code, channel_message, queries, created_at, finished_at, next_query_at, payer_ip, notify_url, return_url,
    payer_sealed, expires_at, authorization_kept, amount_captured_minor, close_requested_at, doubt_since, verify_at,
    code, retryable
FROM payments.attempt
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, created_at, id;

-- name: find_decisions
-- Why attempts went where they did; of a payment's, or one by its own id.
SELECT a.id, a.payment_id, a.account_id, a.state, a.code, a.created_at, a.decision
FROM payments.attempt AS a
WHERE a.payment_id = $1 OR a.id = $1
ORDER BY a.created_at, a.id;

-- name: decisions_between
-- The decisions of a span of time; attempts' ids rise with time, so that their own index finds them.
SELECT a.id, a.payment_id, a.account_id, a.state, a.code, a.created_at, a.decision
FROM payments.attempt AS a
WHERE a.id >= $1 AND a.id < $2
ORDER BY a.id;

-- name: update_attempts
-- The new states of attempts whose payments the caller has locked. What the payer told us goes with the end.
UPDATE payments.attempt AS a
SET state = u.state, surplus = u.surplus, action_kind = u.action_kind, action_content = u.action_content,
    channel_order_no = u.channel_order_no, channel_code = u.channel_code, channel_message = u.channel_message,
    source = u.source, finished_at = u.finished_at, next_query_at = u.next_query_at,
    amount_captured_minor = u.amount_captured_minor, doubt_since = u.doubt_since, verify_at = u.verify_at,
    code = u.code, retryable = u.retryable,
    doubt_alarms = CASE WHEN u.doubt_since IS NULL THEN 0 ELSE a.doubt_alarms END,
    payer_sealed = CASE WHEN u.finished_at IS NULL THEN a.payer_sealed END
FROM unnest(
    $1::uuid [], $2::text [], $3::boolean [], $4::text [], $5::text [], $6::text [], $7::text [], $8::text [],
    $9::text [], $10::timestamptz [], $11::timestamptz [], $12::bigint [], $13::timestamptz [], $14::timestamptz [],
    $15::text [], $16::boolean []
) AS u (
    id, state, surplus, action_kind, action_content, channel_order_no, channel_code, channel_message, source,
    finished_at, next_query_at, amount_captured_minor, doubt_since, verify_at, code, retryable
)
WHERE a.id = u.id;

-- name: ask_now
-- Attempts that are to end or to be captured are asked about from this time on, often again at first; until then they
-- are in doubt.
UPDATE payments.attempt
SET next_query_at = $2, queries = 0, doubt_since = coalesce(doubt_since, $3)
WHERE payment_id = ANY ($1::uuid []) AND state IN ('created', 'submitted', 'unknown', 'authorized');

-- name: ask_attempts_to_end
-- Attempts that make room for another one. The first request's time stays.
UPDATE payments.attempt
SET close_requested_at = coalesce(close_requested_at, $2), next_query_at = $2, queries = 0,
    doubt_since = coalesce(doubt_since, $2)
WHERE id = ANY ($1::uuid []) AND state IN ('created', 'submitted', 'unknown');

-- name: claim_due_attempts
-- Attempts that nobody has told us about in time. The claim is a later time: who dies with it loses nothing. One that
-- has no answer by now is in doubt.
UPDATE payments.attempt AS a
SET next_query_at = $2, queries = a.queries + 1,
    doubt_since = CASE WHEN a.state IN ('created', 'unknown') THEN coalesce(a.doubt_since, a.created_at) ELSE a.doubt_since END
WHERE a.id = ANY (
    ARRAY(
        SELECT due.id
        FROM payments.attempt AS due
        WHERE due.next_query_at <= $1
        ORDER BY due.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING a.id, a.payment_id, a.account_id, a.channel, a.method, a.state, a.surplus, a.action_kind, a.action_content,
    a.channel_order_no, a.channel_code, a.channel_message, a.queries, a.created_at, a.finished_at, a.next_query_at,
    a.payer_ip, a.notify_url, a.return_url, a.payer_sealed, a.expires_at, a.authorization_kept,
    a.amount_captured_minor, a.close_requested_at, a.doubt_since, a.verify_at, a.code, a.retryable;

-- name: claim_verifiable_attempts
-- Attempts that ended unpaid a while ago, to be asked about once more; without an answer again, but not for ever.
UPDATE payments.attempt AS a
SET verify_at = CASE WHEN a.finished_at > $4 THEN $2::timestamptz END
WHERE a.id = ANY (
    ARRAY(
        SELECT due.id
        FROM payments.attempt AS due
        WHERE due.verify_at <= $1
        ORDER BY due.verify_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING a.id, a.payment_id, a.account_id, a.channel, a.method, a.state, a.surplus, a.action_kind, a.action_content,
    a.channel_order_no, a.channel_code, a.channel_message, a.queries, a.created_at, a.finished_at, a.next_query_at,
    a.payer_ip, a.notify_url, a.return_url, a.payer_sealed, a.expires_at, a.authorization_kept,
    a.amount_captured_minor, a.close_requested_at, a.doubt_since, a.verify_at, a.code, a.retryable;

-- name: end_verification
-- The channel has answered.
UPDATE payments.attempt
SET verify_at = NULL
WHERE id = $1;

-- name: spend_notices
-- The messages that have not been taken before; in key order, so that batches never wait crosswise.
INSERT INTO payments.notice (account_id, replay_key, received_at)
SELECT n.account_id, n.replay_key, $3::timestamptz
FROM unnest($1::uuid [], $2::bytea []) AS n (account_id, replay_key)
ORDER BY n.account_id, n.replay_key
ON CONFLICT DO NOTHING
RETURNING account_id, replay_key;

-- name: forget_notices
-- A message older than the time window is refused for its age, so it need not be remembered.
DELETE FROM payments.notice
WHERE received_at < $1;
