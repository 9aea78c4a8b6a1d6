-- name: insert_attempts
-- The intent, written down before the channel is called.
INSERT INTO payments.attempt (id, payment_id, account_id, channel, method, payer_ip, state, created_at, next_query_at)
SELECT n.id, n.payment_id, n.account_id, n.channel, n.method, n.payer_ip, 'created', $7::timestamptz, $8::timestamptz
FROM unnest($1::uuid [], $2::uuid [], $3::uuid [], $4::text [], $5::text [], $6::text [])
    AS n (id, payment_id, account_id, channel, method, payer_ip);

-- name: find_attempts
-- All attempts of some payments, first to last.
SELECT id, payment_id, account_id, channel, method, state, surplus, action_kind, action_content, channel_order_no,
    channel_code, channel_message, queries, created_at, finished_at, next_query_at, payer_ip
FROM payments.attempt
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, id;

-- name: update_attempts
-- The new states of attempts whose payments the caller has locked.
UPDATE payments.attempt AS a
SET state = u.state, surplus = u.surplus, action_kind = u.action_kind, action_content = u.action_content,
    channel_order_no = u.channel_order_no, channel_code = u.channel_code, channel_message = u.channel_message,
    learnt_by = u.learnt_by, finished_at = u.finished_at, next_query_at = u.next_query_at
FROM unnest(
    $1::uuid [], $2::text [], $3::boolean [], $4::text [], $5::text [], $6::text [], $7::text [], $8::text [],
    $9::text [], $10::timestamptz [], $11::timestamptz []
) AS u (
    id, state, surplus, action_kind, action_content, channel_order_no, channel_code, channel_message, learnt_by,
    finished_at, next_query_at
)
WHERE a.id = u.id;

-- name: ask_now
-- Attempts of payments that are to be closed are asked about at once.
UPDATE payments.attempt
SET next_query_at = $2
WHERE payment_id = ANY ($1::uuid []) AND state IN ('created', 'submitted', 'unknown');

-- name: claim_due_attempts
-- Attempts that nobody has told us about in time. The claim is a later time: who dies with it loses nothing.
UPDATE payments.attempt AS a
SET next_query_at = $2, queries = a.queries + 1
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
    a.payer_ip;

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
