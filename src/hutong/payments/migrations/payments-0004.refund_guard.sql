-- depends: payments-0003.life_cycle

-- What has gone back and what is on its way never exceeds what was captured, whatever the code may think.
ALTER TABLE payments.payment
DROP CONSTRAINT payment_refunds_within,
ADD CONSTRAINT payment_refunds_within CHECK (amount_refunded_minor + amount_refunding_minor <= amount_captured_minor);
