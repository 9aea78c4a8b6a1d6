-- depends: payments-0004.refund_guard
-- Our one word for what the channel said of an attempt, beside the channel's own.

ALTER TABLE payments.attempt ADD COLUMN code text;
ALTER TABLE payments.attempt ADD COLUMN retryable boolean;
GRANT UPDATE (code, retryable) ON payments.attempt TO hutong_app;
