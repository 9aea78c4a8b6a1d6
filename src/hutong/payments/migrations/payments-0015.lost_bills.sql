-- depends: payments-0014.ordinals db-0004.lost_time

-- When a channel last gave a definite answer about an intent from before a restore.
ALTER TABLE payments.attempt ADD COLUMN answered_at timestamptz;
ALTER TABLE payments.refund ADD COLUMN answered_at timestamptz;
GRANT UPDATE (answered_at) ON payments.attempt, payments.refund TO hutong_app;

-- Numbers are found in bills too. A bill proves nothing: its numbers are adopted by a query alone.
ALTER TABLE payments.unknown_number
    ALTER COLUMN message DROP NOT NULL,
    ADD COLUMN source text NOT NULL DEFAULT 'notification' CHECK (source IN ('notification', 'bill')),
    ADD COLUMN dismissed_at timestamptz,
    ADD COLUMN dismissed_by text,
    ADD COLUMN dismiss_reason text,
    ADD CHECK (source = 'bill' OR message IS NOT NULL),
    ADD CHECK ((dismissed_at IS NULL) = (dismiss_reason IS NULL));

-- The bills that were read in a catch-up, whole.
CREATE TABLE payments.lost_bill (
    catch_up_id bigint NOT NULL,
    account_id uuid NOT NULL,
    day date NOT NULL,
    read_at timestamptz NOT NULL,
    PRIMARY KEY (catch_up_id, account_id, day)
);
GRANT SELECT, INSERT ON payments.lost_bill TO hutong_app;
