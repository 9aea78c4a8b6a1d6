-- depends: payments-0024.metadata

-- Payments by the code that a payer shows are named alike at all channels.
UPDATE payments.attempt SET method = 'unionpay_code' WHERE method = 'unionpay_wallet';
