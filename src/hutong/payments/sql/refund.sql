-- columns: refund_request
-- What is refunded, to whom and why; of it only the amount ever changes, by two persons' decision.
payment_id uuid, attempt_id uuid, merchant_id uuid, account_id uuid, channel text, kind text, merchant_refund_no text,
amount_minor bigint, currency text, reason text, platform_minor bigint, channel_minor bigint, fee_minor bigint,
lines text, adopted boolean, portal_no text

-- columns: refund_method
-- The current method and state.
route text, state text, hold_id uuid, payout_account_id uuid, next_query_at timestamptz, payee_sealed bytea,
paid_minor bigint, settled_minor bigint

-- columns: refund_answer
-- What changes with each report.
tries integer, channel_refund_no text, channel_code text, channel_message text, code_entry text, reference text,
finished_at timestamptz, late_success_at timestamptz, doubt_since timestamptz, late_failure_at timestamptz

-- columns: refund
id AS refund_id, {refund_request}, {refund_method}, {refund_answer}, queries, created_at, ordered_minor

-- name: insert_refunds
-- The intents, written before any channel is called. A number that another transaction has just taken is an error
-- here, and the whole list is run again.
INSERT INTO payments.refund (id, created_at, {refund_request}, {refund_method})
SELECT n.id, :created_at::timestamptz, {n.refund_request}, {n.refund_method}
FROM unnest(:refund_id::uuid [], {refund_request[]}, {refund_method[]}) AS n (id, {refund_request}, {refund_method})
ORDER BY n.merchant_refund_no, n.merchant_id;

-- name: find_refunds_by_no
-- The refunds that exist under these numbers.
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
ORDER BY payment_id, created_at, id;

-- name: page_of_refunds
-- The refunds of one payment, first to last, from after the given one.
SELECT {refund},
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = refund.payment_id) AS merchant_order_no
FROM payments.refund
WHERE payment_id = $1
    AND ($2::uuid IS NULL OR (created_at, id) > (SELECT c.created_at, c.id FROM payments.refund AS c WHERE c.id = $2))
ORDER BY created_at, id
LIMIT $3;

-- name: list_refunds
-- A merchant's refunds, newest first, from after a place in that order.
SELECT {r.refund},
    (SELECT p.merchant_order_no FROM payments.payment AS p WHERE p.id = r.payment_id) AS merchant_order_no
FROM payments.refund AS r
WHERE (r.merchant_id, r.created_at, r.id) < (
        :merchant_id, coalesce(:after_at::timestamptz, 'infinity'),
        coalesce(:after_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    AND (r.merchant_id, r.created_at) >= (:merchant_id, coalesce(:begin::timestamptz, '-infinity'))
    AND (:state::text IS NULL OR r.state = :state)
ORDER BY r.merchant_id DESC, r.created_at DESC, r.id DESC
LIMIT :limit;

-- name: find_portal_refund
-- The refund that was made in the portal under this number of the channel's.
SELECT id FROM payments.refund WHERE account_id = $1 AND portal_no = $2;

-- name: unbooked_portal_minor
-- How much channels have reported as given back in their portals of these payments, and nothing has booked yet.
SELECT payment_id, sum(amount_minor)::bigint AS amount_minor
FROM payments.exception
WHERE payment_id = ANY ($1::uuid []) AND status = 'open' AND kind = 'unknown_number' AND about = 'refund'
    AND state = 'succeeded' AND reason <> 'order_not_counted'
GROUP BY payment_id;

-- name: payments_of_refunds
-- The payments to lock before these refunds are touched.
SELECT DISTINCT payment_id
FROM payments.refund
WHERE id = ANY ($1::uuid []);

-- name: update_refunds
-- The new states of refunds whose payments the caller has locked.
UPDATE payments.refund AS r
SET ({refund_method}, {refund_answer}) = ROW ({u.refund_method}, {u.refund_answer}),
    source = coalesce(u.source, r.source),
    doubt_alarms = CASE WHEN u.doubt_since IS NULL THEN 0 ELSE r.doubt_alarms END
FROM unnest(:refund_id::uuid [], :source::text [], {refund_method[]}, {refund_answer[]})
    AS u (id, source, {refund_method}, {refund_answer})
WHERE r.id = u.id;

-- name: change_refund_amount
-- The amount that a channel has given back, in place of the ordered one.
UPDATE payments.refund
SET amount_minor = $2, fee_minor = $3, ordered_minor = $4, paid_minor = $5, settled_minor = $6
WHERE id = $1;

-- name: update_refund_sums
-- How much is refunded and on its way back, of payments that the caller has locked.
UPDATE payments.payment AS p
SET amount_refunded_minor = u.refunded, amount_refunding_minor = u.refunding
FROM unnest($1::uuid [], $2::bigint [], $3::bigint []) AS u (id, refunded, refunding)
WHERE p.id = u.id;

-- name: wake_refunds
-- An account answers again, or is to be asked whether it does: those of its refunds that wait are due at once.
UPDATE payments.refund
SET next_query_at = $2, queries = 0
WHERE id = ANY (
    ARRAY(
        SELECT waiting.id
        FROM payments.refund AS waiting
        WHERE coalesce(waiting.payout_account_id, waiting.account_id) = $1 AND waiting.next_query_at > $2
            AND waiting.state <> 'held'
        ORDER BY waiting.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
);

-- name: claim_due_refunds
-- Refunds that are due for a call or a query. The claim is a later time, so that a process that dies loses nothing. A
-- refund that its channel has neither accepted nor refused by now is in doubt.
UPDATE payments.refund AS r
SET next_query_at = $2, queries = r.queries + 1,
    doubt_since = CASE
        WHEN r.state IN ('held', 'unknown') OR (r.state = 'payout' AND r.channel_refund_no IS NULL)
            THEN coalesce(r.doubt_since, $1)
        ELSE r.doubt_since
    END
WHERE r.id = ANY (
    ARRAY(
        SELECT due.id
        FROM payments.refund AS due
        WHERE due.next_query_at <= $1 AND coalesce(due.payout_account_id, due.account_id) <> ALL ($4::uuid [])
        ORDER BY due.next_query_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
)
RETURNING r.id, coalesce(r.payout_account_id, r.account_id) AS account_id;
