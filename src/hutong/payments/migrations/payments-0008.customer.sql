-- depends: payments-0007.routing
-- Who pays, as the merchant knows them: JSON text, written once with the order.

ALTER TABLE payments.payment ADD COLUMN customer text;
