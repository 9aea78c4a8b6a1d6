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
amount_disputed_minor, disputed_paid_minor, disputed_settled_minor, changed_metadata

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
-- A merchant's payments, newest first, from after the cursor. The least id is that of the range's begin.
SELECT {payment}
FROM payments.payment
-- Written as one range of (merchant_id, id), since for `merchant_id = $1 ORDER BY id` the planner may read all merchants'
-- payments from the newest on until it has met enough of a small merchant's.
WHERE (merchant_id, id) > ($1, coalesce($5::uuid, '00000000-0000-0000-0000-000000000000'))
    AND (merchant_id, id) < ($1, coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    AND ($3::text IS NULL OR status = $3)
    AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
ORDER BY merchant_id DESC, id DESC
LIMIT $4;

-- name: list_payments_by_metadata
-- The same of those payments whose metadata have all of these values. The first value has the range that is read.
SELECT {p.payment}
FROM payments.metadata_entry AS m
JOIN payments.payment AS p ON p.id = m.payment_id
WHERE m.merchant_id = :merchant_id AND m.name = (:names::text [])[1] AND m.value = (:values::text [])[1]
    AND m.payment_id > coalesce(:least::uuid, '00000000-0000-0000-0000-000000000000')
    AND m.payment_id < coalesce(:after::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    AND cardinality(:names::text []) = (
        SELECT count(*)
        FROM unnest(:names::text [], :values::text []) AS w (name, value)
        JOIN payments.metadata_entry AS e
            ON e.merchant_id = m.merchant_id AND e.name = w.name AND e.value = w.value AND e.payment_id = m.payment_id
    )
    AND (:status::text IS NULL OR p.status = :status)
    AND (:begin::timestamptz IS NULL OR p.created_at >= :begin)
    AND (:end::timestamptz IS NULL OR p.created_at < :end)
ORDER BY m.payment_id DESC
LIMIT :limit;

-- name: insert_metadata
-- The metadata of new payments, and what a merchant adds later.
INSERT INTO payments.metadata_entry (merchant_id, name, value, payment_id)
SELECT n.merchant_id, n.name, n.value, n.payment_id
FROM unnest(:merchant_id::uuid [], :name::text [], :value::text [], :payment_id::uuid [])
    AS n (merchant_id, name, value, payment_id)
ON CONFLICT DO NOTHING;

-- name: delete_metadata
-- What a merchant has removed from a payment's metadata, or replaced.
DELETE FROM payments.metadata_entry AS e
USING unnest(:name::text [], :value::text []) AS w (name, value)
WHERE e.merchant_id = :merchant_id AND e.name = w.name AND e.value = w.value AND e.payment_id = :payment_id;

-- name: change_metadata
-- The new metadata of a payment that the caller has locked.
UPDATE payments.payment SET changed_metadata = $2 WHERE id = $1;

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
