-- depends: payments-0015.lost_bills

-- Payments and refunds that were adopted after a restore. Of such an order the channel has told the amount and the
-- currency, of such a refund the amount; a repetition by the merchant is compared with these alone.
ALTER TABLE payments.payment ADD COLUMN adopted boolean NOT NULL DEFAULT false;
ALTER TABLE payments.refund ADD COLUMN adopted boolean NOT NULL DEFAULT false;
