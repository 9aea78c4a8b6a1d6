-- depends: payments-0023.cancel_url

-- Payments by the code that a payer shows are named alike at all channels.
UPDATE payments.attempt SET method = 'unionpay_code' WHERE method = 'unionpay_wallet';
