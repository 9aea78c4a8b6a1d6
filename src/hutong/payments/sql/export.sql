-- name: stream_payments
-- Every payment with the attempt that took its money, for views that others build. Instants are cut to milliseconds, as
-- in events.
SELECT p.id, p.merchant_id, p.status, p.merchant_order_no, p.subject, p.amount_minor, p.currency,
    p.amount_captured_minor, coalesce(a.amount_paid_minor, p.amount_captured_minor) AS amount_paid_minor,
    coalesce(a.amount_settled_minor, p.amount_captured_minor) AS amount_settled_minor, a.method, a.channel, p.customer, date_trunc('milliseconds', p.created_at) AS created_at,
    date_trunc('milliseconds', p.authorized_at) AS authorized_at,
    date_trunc('milliseconds', p.succeeded_at) AS succeeded_at, date_trunc('milliseconds', p.closed_at) AS closed_at
FROM payments.payment AS p
LEFT JOIN payments.attempt AS a
    ON a.payment_id = p.id AND ((a.state = 'succeeded' AND NOT a.surplus) OR a.state = 'authorized')
ORDER BY p.id;

-- name: stream_refunds
-- Every refund, likewise.
SELECT r.id, r.payment_id, r.kind, r.state, r.merchant_refund_no, r.amount_minor, r.reason, r.route, r.created_at,
    r.finished_at
FROM payments.refund AS r
ORDER BY r.id;

-- name: disputes_of_payments
-- What is held for disputes of some payments, or was taken for good, first to last.
SELECT id AS dispute_id, payment_id, state, held_minor, opened_at, finished_at
FROM payments.dispute
WHERE payment_id = ANY ($1::uuid []) AND held_minor > 0
ORDER BY opened_at, id;

-- name: attempts_taken
-- The attempts that took the money of some payments, with their numbers.
SELECT a.id, a.payment_id, p.merchant_id, a.account_id, a.channel_order_no, a.amount_captured_minor AS ordered_minor,
    coalesce(a.amount_paid_minor, a.amount_captured_minor) AS paid_minor
FROM payments.attempt AS a
JOIN payments.payment AS p ON p.id = a.payment_id
WHERE a.payment_id = ANY ($1::uuid []) AND a.state = 'succeeded';

-- name: dispute_numbers
-- The disputes of some payments, first to last, with the numbers of their payments.
SELECT d.id, d.payment_id, d.merchant_id, d.account_id, d.dispute_no, d.attempt_id, d.created_at
FROM payments.dispute AS d
WHERE d.payment_id = ANY ($1::uuid [])
ORDER BY d.created_at, d.id;

-- name: unbooked_attempts
-- Attempts that have taken no money, with what they are for.
SELECT a.id, a.payment_id, p.merchant_id, a.account_id, a.channel_order_no, a.state, p.amount_minor, p.currency
FROM payments.attempt AS a
JOIN payments.payment AS p ON p.id = a.payment_id
WHERE a.id = ANY ($1::uuid []) AND a.state <> 'succeeded'
ORDER BY a.id;

-- name: stream_orders
-- The orders that an account's attempts have ended in a time, beside those attempts: all that took money, and those that
-- did not of an order that is paid by none.
SELECT a.id AS attempt_id, a.payment_id, p.merchant_id, p.currency, p.status, p.amount_captured_minor AS order_minor,
    a.state, a.surplus, a.finished_at, a.amount_captured_minor, a.amount_paid_minor, a.amount_settled_minor
FROM payments.attempt AS a
JOIN payments.payment AS p ON p.id = a.payment_id
WHERE a.finished_at >= :since AND a.finished_at < :until AND a.account_id = :account_id
    AND (
        a.state = 'succeeded'
        OR (
            p.status = 'succeeded'
            AND NOT EXISTS (
                SELECT FROM payments.attempt AS c WHERE c.payment_id = p.id AND c.state = 'succeeded' AND NOT c.surplus
            )
        )
    );

-- name: refunds_ended
-- The refunds of an account, or that it sends, that have ended in a time or whose success has failed since, and those
-- that have succeeded late.
SELECT r.id, r.payment_id
FROM payments.refund AS r
WHERE (r.account_id = :account_id OR r.payout_account_id = :account_id)
    AND (
        (r.finished_at >= :since AND (r.finished_at < :until OR r.late_failure_at IS NOT NULL))
        OR (r.late_success_at >= :since AND r.late_success_at < :until)
    )
ORDER BY r.id;

-- name: refunded_sums
-- What payments count as refunded, beside the sum of their refunds. What succeeded late counts as far as there was room.
SELECT p.id AS payment_id, p.merchant_id, p.currency, p.amount_refunded_minor AS counted_minor, coalesce((
    SELECT least(coalesce(sum(r.amount_minor), 0), p.amount_captured_minor)
    FROM payments.refund AS r
    WHERE r.payment_id = p.id AND r.kind = 'refund' AND (r.state = 'succeeded' OR r.late_success_at IS NOT NULL)
), 0)::bigint AS refunds_minor
FROM payments.payment AS p
WHERE p.id = ANY ($1::uuid []);
