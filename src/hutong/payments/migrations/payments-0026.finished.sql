-- depends: payments-0025.unionpay_code

-- What ended in a time, for those who compare days. Rows lie in the order in which they were made, and most end soon after.
CREATE INDEX attempt_finished_idx ON payments.attempt USING brin (finished_at)
WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX refund_finished_idx ON payments.refund USING brin (finished_at)
WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX refund_late_idx ON payments.refund (late_success_at) WHERE late_success_at IS NOT NULL;
