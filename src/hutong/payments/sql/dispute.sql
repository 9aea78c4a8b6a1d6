-- columns: dispute_claim
-- What a dispute is about; it never changes.
payment_id uuid, attempt_id uuid, merchant_id uuid, account_id uuid, channel text, dispute_no text, currency text

-- columns: dispute_state
-- What changes with each statement.
state text, amount_minor bigint, taken_minor bigint, fee_minor bigint, held_minor bigint, reason text, payer_statement text,
due_at timestamptz, opened_at timestamptz, changed_at timestamptz, finished_at timestamptz, source text,
next_query_at timestamptz, reminders smallint

-- columns: dispute
id AS dispute_id, {dispute_claim}, {dispute_state}, created_at

-- name: insert_disputes
-- Disputes that were opened. One that another transaction has just opened is an error here, and all is run again.
INSERT INTO payments.dispute (id, created_at, {dispute_claim}, {dispute_state})
SELECT n.id, :created_at::timestamptz, {n.dispute_claim}, {n.dispute_state}
FROM unnest(:dispute_id::uuid [], {dispute_claim[]}, {dispute_state[]})
    AS n (id, {dispute_claim}, {dispute_state});

-- name: update_disputes
-- The new states of disputes whose payments the caller has locked.
UPDATE payments.dispute AS d
SET ({dispute_state}) = ROW ({u.dispute_state})
FROM unnest(:dispute_id::uuid [], {dispute_state[]}) AS u (id, {dispute_state})
WHERE d.id = u.id;

-- name: update_dispute_sums
-- How much channels have taken for disputes, of payments that the caller has locked.
UPDATE payments.payment AS p
SET amount_disputed_minor = u.disputed, disputed_paid_minor = u.paid, disputed_settled_minor = u.settled
FROM unnest($1::uuid [], $2::bigint [], $3::bigint [], $4::bigint []) AS u (id, disputed, paid, settled)
WHERE p.id = u.id;

-- name: find_disputes
-- Disputes by id, of one merchant or of all.
SELECT {dispute},
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = dispute.payment_id) AS merchant_order_no
FROM payments.dispute
WHERE id = ANY ($1::uuid []) AND ($2::uuid IS NULL OR merchant_id = $2);

-- name: find_dispute_by_no
-- The dispute under a channel's number of it.
SELECT id AS dispute_id, attempt_id FROM payments.dispute WHERE account_id = $1 AND dispute_no = $2;

-- name: payments_of_disputes
-- The payments to lock before these disputes are touched.
SELECT DISTINCT payment_id FROM payments.dispute WHERE id = ANY ($1::uuid []);

-- name: list_disputes
-- A page of disputes, newest first, from after the given one.
SELECT {dispute},
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = dispute.payment_id) AS merchant_order_no
FROM payments.dispute
WHERE (:merchant_id::uuid IS NULL OR merchant_id = :merchant_id) AND (:state::text IS NULL OR state = :state)
    AND (:payment_id::uuid IS NULL OR payment_id = :payment_id)
    AND (
        :after::uuid IS NULL
        OR (created_at, id) < (SELECT c.created_at, c.id FROM payments.dispute AS c WHERE c.id = :after)
    )
ORDER BY created_at DESC, id DESC
LIMIT :limit;

-- name: uncovered_disputes
-- Disputes whose money the merchant has not given yet.
SELECT id FROM payments.dispute WHERE held_minor < taken_minor + fee_minor ORDER BY id LIMIT $1;

-- columns: dispute_response
id AS response_id, dispute_id, accepts, state, channel_code, channel_message, created_at, finished_at

-- name: responses_of_disputes
-- What merchants have answered in these disputes, first to last.
SELECT {dispute_response}
FROM payments.dispute_response
WHERE dispute_id = ANY ($1::uuid [])
ORDER BY dispute_id, created_at, id;

-- name: insert_dispute_response
-- The intent of a response, written before it is sent.
INSERT INTO payments.dispute_response (id, dispute_id, accepts, digest, evidence_sealed, state, created_at)
VALUES (:id, :dispute_id, :accepts, :digest, :evidence, 'sending', :now);

-- name: response_digest
-- What tells a repeated response from another one.
SELECT digest FROM payments.dispute_response WHERE id = $1;

-- name: response_to_send
-- The response of a dispute that its channel has not decided about; there is one at most.
SELECT r.id, r.accepts, r.evidence_sealed, d.account_id, d.dispute_no
FROM payments.dispute_response AS r
JOIN payments.dispute AS d ON d.id = r.dispute_id
WHERE r.dispute_id = $1 AND r.state = 'sending';

-- name: finish_dispute_response
-- The channel has decided; the evidence is not kept longer.
UPDATE payments.dispute_response AS r
SET state = u.state, channel_code = u.channel_code, channel_message = u.channel_message, finished_at = u.finished_at,
    evidence_sealed = NULL
FROM unnest(:response_id::uuid [], :state::text [], :channel_code::text [], :channel_message::text [],
    :finished_at::timestamptz []) AS u (id, state, channel_code, channel_message, finished_at)
WHERE r.id = u.id;

-- name: claim_due_disputes
-- Disputes that are due for a question to their channel. The claim is a later time, so that a process that dies loses
-- nothing.
UPDATE payments.dispute AS d
SET next_query_at = $2
WHERE d.id = ANY (
    ARRAY(
        SELECT due.id
        FROM payments.dispute AS due
        WHERE due.next_query_at <= $1 AND due.account_id <> ALL ($4::uuid [])
        ORDER BY due.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING d.id, d.account_id;

-- name: postpone_dispute
-- When its channel is asked again.
UPDATE payments.dispute SET next_query_at = $2 WHERE id = $1 AND next_query_at IS NOT NULL;

-- name: wake_disputes
-- An account answers again, or is to be asked whether it does: those of its disputes that wait are due at once.
UPDATE payments.dispute
SET next_query_at = $2
WHERE id = ANY (
    ARRAY(
        SELECT waiting.id
        FROM payments.dispute AS waiting
        WHERE waiting.account_id = $1 AND waiting.next_query_at > $2
        ORDER BY waiting.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
);

-- name: disputes_to_remind
-- Disputes that need an answer soon, or needed it, with reminders that were not sent: $1 holds the instants up to which
-- each reminder is due, in their order.
SELECT id FROM payments.dispute
WHERE state = 'needs_response' AND reminders < 3 AND due_at <= ($1::timestamptz [])[reminders + 1]
ORDER BY due_at
LIMIT $2;

-- name: count_open_disputes
-- How many disputes are open, by state, and how many of them have not been answered in time.
SELECT state, count(*) AS count, count(*) FILTER (WHERE state = 'needs_response' AND due_at <= $1) AS overdue
FROM payments.dispute
WHERE state IN ('needs_response', 'under_review')
GROUP BY state;

-- name: end_dispute_responses
-- The dispute has ended: what was being sent is not sent any more.
UPDATE payments.dispute_response
SET state = 'refused', channel_code = $2, finished_at = $3, evidence_sealed = NULL
WHERE dispute_id = $1 AND state = 'sending';
