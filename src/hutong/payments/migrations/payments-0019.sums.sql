-- depends: payments-0018.refund_amount

-- What the payer paid and what the channel settles to the merchant, where a discount makes them differ from the captured
-- sum; null where all are equal, as in every row from before. The discounts are kept as JSON.
ALTER TABLE payments.attempt
ADD COLUMN amount_paid_minor bigint,
ADD COLUMN amount_settled_minor bigint,
ADD COLUMN channel_discounts text,
ADD CONSTRAINT attempt_sums CHECK (
    num_nulls(amount_paid_minor, amount_settled_minor, channel_discounts) = 3
    OR (
        num_nulls(amount_captured_minor, amount_paid_minor, amount_settled_minor, channel_discounts) = 0
        AND amount_paid_minor BETWEEN 0 AND amount_captured_minor
        AND amount_settled_minor BETWEEN 0 AND amount_captured_minor
    )
);
GRANT UPDATE (amount_paid_minor, amount_settled_minor, channel_discounts) ON payments.attempt TO hutong_app;

-- A refund's part of each sum; null where it is the whole refund.
ALTER TABLE payments.refund
ADD COLUMN paid_minor bigint CHECK (paid_minor BETWEEN 0 AND amount_minor),
ADD COLUMN settled_minor bigint CHECK (settled_minor BETWEEN 0 AND amount_minor);
GRANT UPDATE (paid_minor, settled_minor) ON payments.refund TO hutong_app;

-- The same sums in what is kept of a channel's report.
ALTER TABLE payments.exception ADD COLUMN paid_minor bigint, ADD COLUMN settled_minor bigint;
ALTER TABLE payments.unknown_number ADD COLUMN paid_minor bigint, ADD COLUMN settled_minor bigint;
