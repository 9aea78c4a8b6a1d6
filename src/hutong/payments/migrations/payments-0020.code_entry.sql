-- depends: payments-0019.sums

-- The entry of the channel's code map that its latest code was found under, as "interface/code/sub_code": what the
-- payer reads is the text of this entry. Rows from before have none, and no text.
ALTER TABLE payments.attempt ADD COLUMN code_entry text;
ALTER TABLE payments.refund ADD COLUMN code_entry text;
GRANT UPDATE (code_entry) ON payments.attempt TO hutong_app;
GRANT UPDATE (code_entry) ON payments.refund TO hutong_app;
