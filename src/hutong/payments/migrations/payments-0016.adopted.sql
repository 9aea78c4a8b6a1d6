-- depends: payments-0015.lost_bills

-- Payments and refunds that were adopted after a restore. Of such an order the channel has told the amount and the
-- currency, of such a refund the amount; a repetition by the merchant is compared with these alone.
ALTER TABLE payments.payment ADD COLUMN adopted boolean NOT NULL DEFAULT false;
ALTER TABLE payments.refund ADD COLUMN adopted boolean NOT NULL DEFAULT false;

-- A bill of the lost time is fetched until it was read, or until a person decides to do without it.
ALTER TABLE payments.lost_bill
    ALTER COLUMN read_at DROP NOT NULL,
    ADD COLUMN fetches integer NOT NULL DEFAULT 0,
    ADD COLUMN next_at timestamptz,
    ADD COLUMN error text,
    ADD COLUMN dismissed_at timestamptz,
    ADD COLUMN dismissed_by text,
    ADD COLUMN dismiss_reason text,
    ADD CHECK ((dismissed_at IS NULL) = (dismiss_reason IS NULL));
GRANT UPDATE ON payments.lost_bill TO hutong_app;
