-- depends: merchants-0001.merchants

-- How long this merchant's payments may be paid where an order does not say; none takes the installation's.
ALTER TABLE merchants.merchant
ADD COLUMN payment_validity interval CHECK (payment_validity >= INTERVAL '1 minute');
