-- depends: payments-0009.customers
-- What a state was taken from has one name everywhere.

ALTER TABLE payments.attempt RENAME COLUMN learnt_by TO source;

ALTER TABLE payments.refund RENAME COLUMN learnt_by TO source;

ALTER TABLE payments.timeline RENAME COLUMN learnt_by TO source;
