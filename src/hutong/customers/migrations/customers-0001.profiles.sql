-- depends: payments-0010.source events-0002.webhooks
-- Customers are a package of their own; their rights come along with the table.
CREATE SCHEMA customers;

GRANT USAGE ON SCHEMA customers TO hutong_app;

ALTER TABLE payments.customer SET SCHEMA customers;
