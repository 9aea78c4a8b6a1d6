-- columns: payment_order
-- The merchant's order; it never changes.
merchant_id uuid, merchant_order_no text, amount_minor bigint, currency text, subject text, fee_ppm integer,
checkout_token text, return_url text, cancel_url text, metadata text, expires_at timestamptz, capture_method text, customer text,
adopted boolean

-- columns: payment_state
-- What changes with each report. The sums of refunds have a statement of their own.
status text, succeeded_at timestamptz, closed_at timestamptz, close_reason text, close_requested_at timestamptz,
amount_captured_minor bigint, authorized_at timestamptz, capture_before timestamptz, capture_minor bigint,
capture_requested_at timestamptz

-- columns: payment
id AS payment_id, {payment_order}, {payment_state}, created_at, amount_refunded_minor, amount_refunding_minor,
amount_disputed_minor, disputed_paid_minor, disputed_settled_minor

-- name: insert_payments
-- One row per merchant order number; an order that exists is left alone and not returned.
INSERT INTO payments.payment (id, status, created_at, {payment_order})
SELECT n.id, n.status, :created_at::timestamptz, {n.payment_order}
FROM unnest(:payment_id::uuid [], :status::text [], {payment_order[]}) AS n (id, status, {payment_order})
ORDER BY n.merchant_id, n.merchant_order_no
ON CONFLICT (merchant_id, merchant_order_no) DO NOTHING
RETURNING id;

-- name: find_by_order_no
-- The payments that exist under these order numbers.
SELECT {p.payment}
FROM payments.payment AS p
JOIN (
    SELECT DISTINCT merchant_id, merchant_order_no
    FROM unnest($1::uuid [], $2::text []) AS o (merchant_id, merchant_order_no)
) AS o USING (merchant_id, merchant_order_no);

-- name: find_payments
-- Payments by id, of one merchant or of all, as last committed; for display, never for decisions.
SELECT {payment}
FROM payments.payment
WHERE id = ANY ($1::uuid []) AND ($2::uuid IS NULL OR merchant_id = $2);

-- name: lock_payments
-- Payments by id, locked in id order; every change of a payment or of one of its attempts takes this lock.
SELECT {payment}
FROM payments.payment
WHERE id = ANY ($1::uuid [])
ORDER BY id
FOR UPDATE;

-- name: lock_payments_of_attempts
-- The same, found by attempt. Attempts are read afterwards, under the lock, since this snapshot may be older than it.
SELECT {payment}
FROM payments.payment
WHERE id IN (SELECT a.payment_id FROM payments.attempt AS a WHERE a.id = ANY ($1::uuid []))
ORDER BY id
FOR UPDATE;

-- name: list_payments
-- A merchant's payments, newest first, from after the cursor.
SELECT {payment}
FROM payments.payment
-- Written as one range of (merchant_id, id), since for `merchant_id = $1 ORDER BY id` the planner may read all merchants'
-- payments from the newest on until it has met enough of a small merchant's.
WHERE (merchant_id, id) > ($1, '00000000-0000-0000-0000-000000000000')
    AND (merchant_id, id) < ($1, coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    AND ($3::text IS NULL OR status = $3)
ORDER BY merchant_id DESC, id DESC
LIMIT $4;

-- name: update_payments
-- The new states of payments that the caller has locked.
UPDATE payments.payment AS p
SET ({payment_state}) = ROW ({u.payment_state})
FROM unnest(:payment_id::uuid [], {payment_state[]}) AS u (id, {payment_state})
WHERE p.id = u.id;

-- name: claim_expired
-- Open payments past their expiry, oldest first; those that another worker has locked are left to it.
SELECT id
FROM payments.payment
WHERE status IN ('requires_payment', 'processing') AND close_requested_at IS NULL AND expires_at <= $1
ORDER BY expires_at
LIMIT $2
FOR UPDATE SKIP LOCKED;

-- name: claim_lapsing
-- Authorizations that were not captured in time, likewise. One that is being captured is left alone.
SELECT id
FROM payments.payment
WHERE status = 'requires_capture' AND close_requested_at IS NULL AND capture_requested_at IS NULL
    AND capture_before <= $1
ORDER BY capture_before
LIMIT $2
FOR UPDATE SKIP LOCKED;
