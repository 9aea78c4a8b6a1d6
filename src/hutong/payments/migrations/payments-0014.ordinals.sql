-- depends: payments-0013.unknown_numbers

-- Attempts of one payment may begin at the same instant, and their ids are in no order. Attempts from before have ids in
-- the order of time, and keep the ordinal 0.
ALTER TABLE payments.attempt ADD COLUMN ordinal smallint NOT NULL DEFAULT 0;
