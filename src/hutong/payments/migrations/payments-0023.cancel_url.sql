-- depends: payments-0022.disputes

-- Where a payer goes who leaves the cashier without having paid.
ALTER TABLE payments.payment ADD COLUMN cancel_url text;
