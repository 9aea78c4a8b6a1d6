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
