-- columns: refund_request
-- What is given back, to whom and why; it never changes.
payment_id uuid, attempt_id uuid, merchant_id uuid, account_id uuid, channel text, kind text, merchant_refund_no text,
amount_minor bigint, currency text, reason text, platform_minor bigint, channel_minor bigint, fee_minor bigint,
lines text

-- columns: refund_way
-- Which way it goes just now.
route text, state text, hold_id uuid, payout_account_id uuid, next_query_at timestamptz, payee_sealed bytea

-- columns: refund_answer
-- What was sent and what came back.
tries integer, channel_refund_no text, channel_code text, channel_message text, reference text,
finished_at timestamptz, late_success_at timestamptz

-- columns: refund
id AS refund_id, {refund_request}, {refund_way}, {refund_answer}, queries, created_at

-- name: insert_refunds
-- The intents, written down before any channel is called. A number that another transaction has just taken is an
-- error here, on which the whole list is looked at again.
INSERT INTO payments.refund (id, created_at, {refund_request}, {refund_way})
SELECT n.id, :created_at::timestamptz, {n.refund_request}, {n.refund_way}
FROM unnest(:refund_id::uuid [], {refund_request[]}, {refund_way[]}) AS n (id, {refund_request}, {refund_way})
ORDER BY n.merchant_refund_no, n.merchant_id;

-- name: find_refunds_by_no
-- The refunds that already stand under these numbers.
SELECT {r.refund},
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = r.payment_id) AS merchant_order_no
FROM payments.refund AS r
JOIN (
    SELECT DISTINCT merchant_id, merchant_refund_no
    FROM unnest($1::uuid [], $2::text []) AS o (merchant_id, merchant_refund_no)
) AS o USING (merchant_id, merchant_refund_no);

-- name: find_refunds
-- Refunds by id, of one merchant or of all.
SELECT {refund},
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = refund.payment_id) AS merchant_order_no
FROM payments.refund
WHERE id = ANY ($1::uuid []) AND ($2::uuid IS NULL OR merchant_id = $2);

-- name: refunds_of_payments
-- All refunds of some payments, first to last.
SELECT {refund},
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = refund.payment_id) AS merchant_order_no
FROM payments.refund
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, id;

-- name: page_of_refunds
-- The refunds of one payment, first to last, from after the one given.
SELECT {refund},
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = refund.payment_id) AS merchant_order_no
FROM payments.refund
WHERE payment_id = $1 AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3;

-- name: payments_of_refunds
-- Whose lock to take before touching these refunds.
SELECT DISTINCT payment_id
FROM payments.refund
WHERE id = ANY ($1::uuid []);

-- name: update_refunds
-- The new states of refunds whose payments the caller has locked.
UPDATE payments.refund AS r
SET ({refund_way}, {refund_answer}) = ROW ({u.refund_way}, {u.refund_answer}),
    source = coalesce(u.source, r.source)
FROM unnest(:refund_id::uuid [], :source::text [], {refund_way[]}, {refund_answer[]})
    AS u (id, source, {refund_way}, {refund_answer})
WHERE r.id = u.id;

-- name: update_refund_sums
-- What has gone back and what is on its way, of payments that the caller has locked.
UPDATE payments.payment AS p
SET amount_refunded_minor = u.refunded, amount_refunding_minor = u.refunding
FROM unnest($1::uuid [], $2::bigint [], $3::bigint []) AS u (id, refunded, refunding)
WHERE p.id = u.id;

-- name: claim_due_refunds
-- Refunds that wait for a call or for an answer. The claim is a later time: who dies with it loses nothing.
UPDATE payments.refund AS r
SET next_query_at = $2, queries = r.queries + 1
WHERE r.id = ANY (
    ARRAY(
        SELECT due.id
        FROM payments.refund AS due
        WHERE due.next_query_at <= $1
        ORDER BY due.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING r.id;
