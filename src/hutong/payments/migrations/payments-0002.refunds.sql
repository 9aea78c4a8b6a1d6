-- depends: payments-0001.payments

-- What is on its way back. With what is back already it never exceeds the payment, whatever the code may think.
ALTER TABLE payments.payment
ADD COLUMN amount_refunding_minor bigint NOT NULL DEFAULT 0 CHECK (amount_refunding_minor >= 0);

ALTER TABLE payments.payment
ADD CONSTRAINT payment_refunds_within CHECK (amount_refunded_minor + amount_refunding_minor <= amount_minor);

GRANT UPDATE (amount_refunding_minor) ON payments.payment TO hutong_app;

CREATE TABLE payments.refund (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments.payment,
    attempt_id uuid NOT NULL REFERENCES payments.attempt,
    merchant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    channel text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('refund', 'surplus')),
    merchant_refund_no text CHECK (length(merchant_refund_no) BETWEEN 1 AND 64),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency char(3) NOT NULL,
    reason text NOT NULL,
    -- What the refund gives back besides: to the funders of discounts, and of our fee to the merchant.
    platform_minor bigint NOT NULL DEFAULT 0 CHECK (platform_minor >= 0),
    channel_minor bigint NOT NULL DEFAULT 0 CHECK (channel_minor >= 0),
    fee_minor bigint NOT NULL DEFAULT 0 CHECK (fee_minor BETWEEN 0 AND amount_minor),
    route text NOT NULL CHECK (route IN ('void', 'original', 'payout', 'manual')),
    state text NOT NULL CHECK (
        state IN ('created', 'held', 'submitted', 'unknown', 'succeeded', 'failed', 'payout', 'manual')
    ),
    hold_id uuid NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    queries integer NOT NULL DEFAULT 0,
    channel_refund_no text,
    channel_code text,
    channel_message text,
    learnt_by text,
    payout_account_id uuid,
    payee_sealed bytea,
    reference text,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    next_query_at timestamptz,
    late_success_at timestamptz,
    UNIQUE (merchant_refund_no, merchant_id),
    CHECK ((kind = 'surplus') = (merchant_refund_no IS NULL)),
    CHECK ((state IN ('succeeded', 'failed')) = (finished_at IS NOT NULL)),
    CHECK (state <> 'payout' OR (route = 'payout' AND payout_account_id IS NOT NULL)),
    CHECK (state <> 'manual' OR route = 'manual'),
    -- What is open at a channel is always on the list of what to see to; what is final or a person's never.
    CHECK ((state IN ('created', 'held', 'submitted', 'unknown', 'payout')) = (next_query_at IS NOT NULL))
) WITH (fillfactor = 70);

CREATE INDEX refund_payment_idx ON payments.refund (payment_id, id);

CREATE INDEX refund_due_idx ON payments.refund (next_query_at) WHERE next_query_at IS NOT NULL;

-- A surplus success is given back once.
CREATE UNIQUE INDEX refund_surplus_idx ON payments.refund (attempt_id) WHERE kind = 'surplus';

-- The last line of defense: the same table of transitions that the code keeps in refund.py. A route never goes back.
CREATE FUNCTION payments.refuse_refund_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> NEW.state AND ROW(OLD.state, NEW.state) NOT IN (
        ROW('created', 'held'), ROW('held', 'submitted'), ROW('held', 'unknown'), ROW('held', 'succeeded'),
        ROW('held', 'failed'), ROW('unknown', 'held'), ROW('unknown', 'submitted'), ROW('unknown', 'succeeded'),
        ROW('unknown', 'failed'), ROW('submitted', 'held'), ROW('submitted', 'succeeded'),
        ROW('submitted', 'failed'), ROW('failed', 'payout'), ROW('failed', 'manual'), ROW('payout', 'succeeded'),
        ROW('payout', 'failed'), ROW('manual', 'succeeded'), ROW('manual', 'failed')
    ) THEN
        RAISE EXCEPTION 'a refund does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF array_position(ARRAY['void', 'original', 'payout', 'manual'], NEW.route)
        < array_position(ARRAY['void', 'original', 'payout', 'manual'], OLD.route) THEN
        RAISE EXCEPTION 'a refund does not go back from % to %', OLD.route, NEW.route USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER refund_transition BEFORE UPDATE ON payments.refund
FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.route IS DISTINCT FROM NEW.route) EXECUTE FUNCTION payments.refuse_refund_transition();

-- What was asked for never changes: not its amount, not its owner, not the attempt that it gives back from.
GRANT SELECT, INSERT ON payments.refund TO hutong_app;

GRANT UPDATE (
    route, state, hold_id, tries, queries, channel_refund_no, channel_code, channel_message, learnt_by,
    payout_account_id, payee_sealed, reference, finished_at, next_query_at, late_success_at
) ON payments.refund TO hutong_app;
