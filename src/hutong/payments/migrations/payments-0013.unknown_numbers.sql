-- depends: payments-0012.decisions db-0003.catch_up

-- What channels report during a catch-up under numbers that this database does not know: orders and refunds of the time
-- that was lost. The message is kept sealed, as evidence; the last report of a number counts.
CREATE TABLE payments.unknown_number (
    account_id uuid NOT NULL,
    number text NOT NULL CHECK (length(number) BETWEEN 1 AND 64),
    about text NOT NULL CHECK (about IN ('payment', 'refund', 'payout')),
    state text NOT NULL,
    amount_minor bigint,
    currency text,
    channel_order_no text,
    happened_at timestamptz,
    message bytea NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    adopted_at timestamptz,
    PRIMARY KEY (account_id, number)
);
CREATE INDEX unknown_number_open ON payments.unknown_number (first_at) WHERE adopted_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON payments.unknown_number TO hutong_app;
