-- depends: payments-0006.items
-- Why an attempt went where it did. Kept out of the row, since the row is rewritten as the attempt goes on.

ALTER TABLE payments.attempt ADD COLUMN decision jsonb;
ALTER TABLE payments.attempt ALTER COLUMN decision SET STORAGE EXTERNAL;
