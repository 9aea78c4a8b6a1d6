-- name: insert_payments
-- One row per merchant order number; an order that exists is left alone and not returned.
INSERT INTO payments.payment (
    id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, fee_ppm, checkout_token, return_url,
    metadata, expires_at, capture_method, customer, created_at
)
SELECT n.id, n.merchant_id, n.merchant_order_no, n.amount_minor, n.currency, n.subject, n.status, n.fee_ppm,
    n.checkout_token, n.return_url, n.metadata, n.expires_at, n.capture_method, n.customer,
    $14::timestamptz
FROM unnest(
    $1::uuid [], $2::uuid [], $3::text [], $4::bigint [], $5::text [], $6::text [], $7::text [], $8::integer [],
    $9::text [], $10::text [], $11::text [], $12::timestamptz [], $13::text [], $15::text []
) AS n (
    id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, fee_ppm, checkout_token, return_url,
    metadata, expires_at, capture_method, customer
)
ORDER BY n.merchant_id, n.merchant_order_no
ON CONFLICT (merchant_id, merchant_order_no) DO NOTHING
RETURNING id;

-- name: find_by_order_no
-- The payments that already stand under these order numbers.
SELECT p.id, p.merchant_id, p.merchant_order_no, p.amount_minor, p.currency, p.subject, p.status,
    p.amount_refunded_minor, p.fee_ppm, p.checkout_token, p.return_url, p.metadata, p.expires_at, p.created_at,
    p.succeeded_at, p.closed_at, p.close_reason, p.close_requested_at, p.capture_method, p.amount_captured_minor,
    p.authorized_at, p.capture_before, p.capture_minor, p.capture_requested_at,
    p.amount_refunding_minor, p.customer
FROM payments.payment AS p
JOIN (
    SELECT DISTINCT merchant_id, merchant_order_no
    FROM unnest($1::uuid [], $2::text []) AS o (merchant_id, merchant_order_no)
) AS o USING (merchant_id, merchant_order_no);

-- name: find_payments
-- Payments by id, of one merchant or of all, as last committed; for showing, never for deciding.
SELECT id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, amount_refunded_minor, fee_ppm,
    checkout_token, return_url, metadata, expires_at, created_at, succeeded_at, closed_at, close_reason,
    close_requested_at, capture_method,
    amount_captured_minor, authorized_at, capture_before, capture_minor, capture_requested_at,
    amount_refunding_minor, customer
FROM payments.payment
WHERE id = ANY ($1::uuid []) AND ($2::uuid IS NULL OR merchant_id = $2);

-- name: lock_payments
-- Payments by id, locked in id order; whoever changes a payment or one of its attempts holds this lock.
SELECT id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, amount_refunded_minor, fee_ppm,
    checkout_token, return_url, metadata, expires_at, created_at, succeeded_at, closed_at, close_reason,
    close_requested_at, capture_method,
    amount_captured_minor, authorized_at, capture_before, capture_minor, capture_requested_at,
    amount_refunding_minor, customer
FROM payments.payment
WHERE id = ANY ($1::uuid [])
ORDER BY id
FOR UPDATE;

-- name: lock_payments_of_attempts
-- The same, found by attempt. Attempts are read afterwards, under the lock, since this snapshot may be older than it.
SELECT id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, amount_refunded_minor, fee_ppm,
    checkout_token, return_url, metadata, expires_at, created_at, succeeded_at, closed_at, close_reason,
    close_requested_at, capture_method,
    amount_captured_minor, authorized_at, capture_before, capture_minor, capture_requested_at,
    amount_refunding_minor, customer
FROM payments.payment
WHERE id IN (SELECT a.payment_id FROM payments.attempt AS a WHERE a.id = ANY ($1::uuid []))
ORDER BY id
FOR UPDATE;

-- name: list_payments
-- A merchant's payments, newest first, from after the cursor.
SELECT id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, amount_refunded_minor, fee_ppm,
    checkout_token, return_url, metadata, expires_at, created_at, succeeded_at, closed_at, close_reason,
    close_requested_at, capture_method,
    amount_captured_minor, authorized_at, capture_before, capture_minor, capture_requested_at,
    amount_refunding_minor, customer
FROM payments.payment
-- Written as one range of (merchant_id, id), since for `merchant_id = $1 ORDER BY id` the planner may read everybody's
-- payments from the newest on until it has met enough of a small merchant's.
WHERE (merchant_id, id) > ($1, '00000000-0000-0000-0000-000000000000')
    AND (merchant_id, id) < ($1, coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    AND ($3::text IS NULL OR status = $3)
ORDER BY merchant_id DESC, id DESC
LIMIT $4;

-- name: update_payments
-- The new states of payments that the caller has locked.
UPDATE payments.payment AS p
SET status = u.status, succeeded_at = u.succeeded_at, closed_at = u.closed_at, close_reason = u.close_reason,
    close_requested_at = u.close_requested_at, amount_captured_minor = u.amount_captured_minor,
    authorized_at = u.authorized_at, capture_before = u.capture_before, capture_minor = u.capture_minor,
    capture_requested_at = u.capture_requested_at
FROM unnest(
    $1::uuid [], $2::text [], $3::timestamptz [], $4::timestamptz [], $5::text [], $6::timestamptz [], $7::bigint [],
    $8::timestamptz [], $9::timestamptz [], $10::bigint [], $11::timestamptz []
) AS u (
    id, status, succeeded_at, closed_at, close_reason, close_requested_at, amount_captured_minor, authorized_at,
    capture_before, capture_minor, capture_requested_at
)
WHERE p.id = u.id;

-- name: claim_expired
-- Open payments past their end, oldest first; what another worker is looking at is left to it.
SELECT id
FROM payments.payment
WHERE status IN ('requires_payment', 'processing') AND close_requested_at IS NULL AND expires_at <= $1
ORDER BY expires_at
LIMIT $2
FOR UPDATE SKIP LOCKED;

-- name: claim_lapsing
-- Authorizations that nobody has captured in time; the same way. One that is being captured is left alone.
SELECT id
FROM payments.payment
WHERE status = 'requires_capture' AND close_requested_at IS NULL AND capture_requested_at IS NULL
    AND capture_before <= $1
ORDER BY capture_before
LIMIT $2
FOR UPDATE SKIP LOCKED;
