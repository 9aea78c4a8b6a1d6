-- depends: payments-0002.refunds

-- Payments that the merchant captures itself, and what was captured of each.
ALTER TABLE payments.payment
ADD COLUMN capture_method text NOT NULL DEFAULT 'automatic' CHECK (capture_method IN ('automatic', 'manual')),
ADD COLUMN amount_captured_minor bigint NOT NULL DEFAULT 0,
ADD COLUMN authorized_at timestamptz,
ADD COLUMN capture_before timestamptz,
ADD COLUMN capture_minor bigint,
ADD COLUMN capture_requested_at timestamptz;

UPDATE payments.payment SET amount_captured_minor = amount_minor WHERE status = 'succeeded';

ALTER TABLE payments.payment
DROP CONSTRAINT payment_status_check,
ADD CONSTRAINT payment_status_check
CHECK (status IN ('requires_payment', 'processing', 'requires_capture', 'succeeded', 'closed')),
ADD CONSTRAINT payment_captured_check CHECK (amount_captured_minor BETWEEN 0 AND amount_minor),
ADD CONSTRAINT payment_refunded_check CHECK (amount_refunded_minor <= amount_captured_minor),
ADD CONSTRAINT payment_capture_check CHECK (capture_minor BETWEEN 1 AND amount_minor),
ADD CONSTRAINT payment_capture_intent_check CHECK ((capture_minor IS NULL) = (capture_requested_at IS NULL)),
ADD CONSTRAINT payment_authorized_check
CHECK (status <> 'requires_capture' OR (capture_method = 'manual' AND authorized_at IS NOT NULL)),
-- An authorization is taken or given up, and the first of the two intents to be written decides.
ADD CONSTRAINT payment_capture_or_close_check CHECK (capture_requested_at IS NULL OR close_requested_at IS NULL);

CREATE INDEX payment_lapse_idx ON payments.payment (capture_before)
WHERE status = 'requires_capture' AND close_requested_at IS NULL AND capture_requested_at IS NULL;

-- All that a call says is kept, so that sending it again says the same; and what to look at later.
ALTER TABLE payments.attempt
ADD COLUMN notify_url text,
ADD COLUMN return_url text,
ADD COLUMN payer_sealed bytea,
ADD COLUMN expires_at timestamptz,
ADD COLUMN authorization_kept interval,
ADD COLUMN amount_captured_minor bigint,
ADD COLUMN close_requested_at timestamptz,
ADD COLUMN doubt_since timestamptz,
ADD COLUMN doubt_alarms smallint NOT NULL DEFAULT 0,
ADD COLUMN verify_at timestamptz;

UPDATE payments.attempt AS a SET amount_captured_minor = p.amount_minor
FROM payments.payment AS p
WHERE p.id = a.payment_id AND a.state = 'succeeded';

ALTER TABLE payments.attempt
DROP CONSTRAINT attempt_state_check,
DROP CONSTRAINT attempt_check1,
ADD CONSTRAINT attempt_state_check
CHECK (state IN ('created', 'submitted', 'unknown', 'authorized', 'succeeded', 'failed', 'closed')),
ADD CONSTRAINT attempt_finished_check
CHECK ((state IN ('created', 'submitted', 'unknown', 'authorized')) = (finished_at IS NULL)),
ADD CONSTRAINT attempt_captured_check CHECK (amount_captured_minor IS NULL OR amount_captured_minor > 0),
-- What a payer told us for one try is not kept beyond it.
ADD CONSTRAINT attempt_payer_check CHECK (payer_sealed IS NULL OR finished_at IS NULL);

CREATE INDEX attempt_doubt_idx ON payments.attempt (doubt_since) WHERE doubt_since IS NOT NULL;

CREATE INDEX attempt_verify_idx ON payments.attempt (verify_at) WHERE verify_at IS NOT NULL;

-- What happened to a payment and how it was learnt. Written under the payment's lock, so its numbers are in order.
CREATE TABLE payments.timeline (
    payment_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    what text NOT NULL,
    attempt_id uuid,
    learnt_by text,
    channel_code text,
    amount_minor bigint,
    note text,
    PRIMARY KEY (payment_id, id)
);

CREATE OR REPLACE FUNCTION payments.refuse_payment_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF ROW(OLD.status, NEW.status) NOT IN (
        ROW('requires_payment', 'processing'), ROW('requires_payment', 'closed'),
        ROW('processing', 'requires_payment'), ROW('processing', 'requires_capture'),
        ROW('processing', 'succeeded'), ROW('processing', 'closed'),
        ROW('requires_capture', 'requires_payment'), ROW('requires_capture', 'succeeded'),
        ROW('requires_capture', 'closed')
    ) THEN
        RAISE EXCEPTION 'a payment does not go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION payments.refuse_attempt_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF ROW(OLD.state, NEW.state) NOT IN (
        ROW('created', 'submitted'), ROW('created', 'unknown'), ROW('created', 'authorized'),
        ROW('created', 'succeeded'), ROW('created', 'failed'), ROW('created', 'closed'),
        ROW('submitted', 'authorized'), ROW('submitted', 'succeeded'), ROW('submitted', 'failed'),
        ROW('submitted', 'closed'), ROW('unknown', 'submitted'), ROW('unknown', 'authorized'),
        ROW('unknown', 'succeeded'), ROW('unknown', 'failed'), ROW('unknown', 'closed'),
        ROW('authorized', 'succeeded'), ROW('authorized', 'failed'), ROW('authorized', 'closed')
    ) AND NOT (OLD.state IN ('failed', 'closed') AND NEW.state = 'succeeded' AND NEW.surplus) THEN
        RAISE EXCEPTION 'an attempt does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

GRANT UPDATE (amount_captured_minor, authorized_at, capture_before, capture_minor, capture_requested_at)
ON payments.payment TO hutong_app;

GRANT UPDATE (payer_sealed, amount_captured_minor, close_requested_at, doubt_since, doubt_alarms, verify_at)
ON payments.attempt TO hutong_app;

GRANT SELECT, INSERT ON payments.timeline TO hutong_app;
