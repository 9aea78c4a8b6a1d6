-- depends: db-0001.role

CREATE SCHEMA payments;

CREATE TABLE payments.payment (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    merchant_order_no text NOT NULL CHECK (length(merchant_order_no) BETWEEN 1 AND 64),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency char(3) NOT NULL,
    subject text NOT NULL,
    status text NOT NULL CHECK (status IN ('requires_payment', 'processing', 'succeeded', 'closed')),
    amount_refunded_minor bigint NOT NULL DEFAULT 0 CHECK (amount_refunded_minor BETWEEN 0 AND amount_minor),
    fee_ppm integer NOT NULL,
    checkout_token text NOT NULL,
    return_url text,
    metadata text NOT NULL DEFAULT '{}',
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    succeeded_at timestamptz,
    closed_at timestamptz,
    close_reason text,
    close_requested_at timestamptz,
    -- The number first: so this index is of no use for listing a merchant's payments, which has its own.
    UNIQUE (merchant_order_no, merchant_id),
    CHECK ((status = 'succeeded') = (succeeded_at IS NOT NULL)),
    CHECK ((status = 'closed') = (closed_at IS NOT NULL))
) WITH (fillfactor = 70);

CREATE INDEX payment_merchant_idx ON payments.payment (merchant_id, id);

CREATE INDEX payment_due_idx ON payments.payment (expires_at)
WHERE status IN ('requires_payment', 'processing') AND close_requested_at IS NULL;

CREATE TABLE payments.attempt (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments.payment,
    account_id uuid NOT NULL,
    channel text NOT NULL,
    method text NOT NULL,
    payer_ip text,
    state text NOT NULL CHECK (state IN ('created', 'submitted', 'unknown', 'succeeded', 'failed', 'closed')),
    surplus boolean NOT NULL DEFAULT FALSE CHECK (NOT surplus OR state = 'succeeded'),
    action_kind text,
    action_content text,
    channel_order_no text,
    channel_code text,
    channel_message text,
    learnt_by text,
    queries integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    next_query_at timestamptz,
    CHECK ((state IN ('created', 'submitted', 'unknown')) = (finished_at IS NULL)),
    -- What is open is always on the list of what to ask about; what is final never.
    CHECK ((finished_at IS NULL) = (next_query_at IS NOT NULL))
) WITH (fillfactor = 70);

CREATE INDEX attempt_payment_idx ON payments.attempt (payment_id);

CREATE INDEX attempt_due_idx ON payments.attempt (next_query_at) WHERE next_query_at IS NOT NULL;

-- At most one success of a payment counts; every other one is surplus.
CREATE UNIQUE INDEX attempt_counted_idx ON payments.attempt (payment_id) WHERE state = 'succeeded' AND NOT surplus;

-- A message of a channel is taken once, byte for byte; rows older than the time window may go.
CREATE TABLE payments.notice (
    account_id uuid NOT NULL,
    replay_key bytea NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, replay_key)
);

CREATE INDEX notice_received_idx ON payments.notice (received_at);

-- The last line of defence: the same table of transitions that the code keeps in model.py.
CREATE FUNCTION payments.refuse_payment_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF ROW(OLD.status, NEW.status) NOT IN (
        ROW('requires_payment', 'processing'), ROW('requires_payment', 'closed'),
        ROW('processing', 'requires_payment'), ROW('processing', 'succeeded'), ROW('processing', 'closed')
    ) THEN
        RAISE EXCEPTION 'a payment does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION payments.refuse_attempt_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF ROW(OLD.state, NEW.state) NOT IN (
        ROW('created', 'submitted'), ROW('created', 'unknown'), ROW('created', 'succeeded'), ROW('created', 'failed'),
        ROW('created', 'closed'), ROW('submitted', 'succeeded'), ROW('submitted', 'failed'),
        ROW('submitted', 'closed'), ROW('unknown', 'submitted'), ROW('unknown', 'succeeded'),
        ROW('unknown', 'failed'), ROW('unknown', 'closed')
    ) AND NOT (OLD.state IN ('failed', 'closed') AND NEW.state = 'succeeded' AND NEW.surplus) THEN
        RAISE EXCEPTION 'an attempt does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER payment_transition BEFORE UPDATE ON payments.payment
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION payments.refuse_payment_transition();

CREATE TRIGGER attempt_transition BEFORE UPDATE ON payments.attempt
FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.surplus IS DISTINCT FROM NEW.surplus) EXECUTE FUNCTION payments.refuse_attempt_transition();

GRANT USAGE ON SCHEMA payments TO hutong_app;

-- What was ordered never changes: not its amount, not its owner, not the account that an attempt went through.
GRANT SELECT, INSERT ON payments.payment, payments.attempt TO hutong_app;

GRANT UPDATE (status, amount_refunded_minor, succeeded_at, closed_at, close_reason, close_requested_at)
ON payments.payment TO hutong_app;

GRANT UPDATE (
    state, surplus, action_kind, action_content, channel_order_no, channel_code, channel_message, learnt_by, queries,
    finished_at, next_query_at
) ON payments.attempt TO hutong_app;

GRANT SELECT, INSERT, DELETE ON payments.notice TO hutong_app;
