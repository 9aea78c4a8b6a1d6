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
