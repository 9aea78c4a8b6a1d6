-- depends: payments-0008.customer events-0002.webhooks
-- What a merchant tells of its customers outside of orders. Each change has a later instant than the one before, and
-- the id of the event that told it, so that whoever hears of it in another order knows which is newer.

CREATE TABLE payments.customer (
    merchant_id uuid NOT NULL,
    customer_id text NOT NULL CHECK (length(customer_id) BETWEEN 1 AND 64),
    object_id uuid NOT NULL UNIQUE,
    name text CHECK (length(name) BETWEEN 1 AND 64),
    avatar text CHECK (length(avatar) BETWEEN 1 AND 64),
    updated_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (merchant_id, customer_id)
);
GRANT SELECT, INSERT ON payments.customer TO hutong_app;
GRANT UPDATE (name, avatar, updated_at, event_id) ON payments.customer TO hutong_app;
