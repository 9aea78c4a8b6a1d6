-- name: look_up_payments
-- Payments of any merchant by what a person knows of them, newest first. Asked by people, now and then.
SELECT p.id
FROM payments.payment AS p
WHERE p.id >= :least AND p.id < :beyond
    AND (:merchant_ids::uuid [] IS NULL OR p.merchant_id = ANY (:merchant_ids))
    AND (:merchant_order_no::text IS NULL OR p.merchant_order_no = :merchant_order_no)
    AND (:status::text IS NULL OR p.status = :status)
    AND (
        :method::text IS NULL
        OR EXISTS (SELECT FROM payments.attempt AS a WHERE a.payment_id = p.id AND a.method = :method)
    )
ORDER BY p.id DESC
LIMIT :limit;
