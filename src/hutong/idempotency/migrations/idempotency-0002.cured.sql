-- depends: idempotency-0001.keys

-- Refusals that time cures no longer stay under their keys; those that stayed before are forgotten.
DELETE FROM idempotency.key
WHERE status = 409
    AND body IN (
        'insufficient_merchant_funds'::bytea, 'payment_not_refundable'::bytea, 'refund_count_exceeded'::bytea,
        'refund_exceeds_available'::bytea, 'refund_quantity_exceeded'::bytea, 'same_day_refund_not_offered'::bytea
    );
