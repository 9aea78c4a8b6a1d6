-- depends: payments-0010.source

-- Refunds in doubt have an age and are reported at each alarm, as attempts are.
ALTER TABLE payments.refund
ADD COLUMN doubt_since timestamptz,
ADD COLUMN doubt_alarms smallint NOT NULL DEFAULT 0;

UPDATE payments.refund SET doubt_since = created_at WHERE state = 'unknown';

CREATE INDEX refund_doubt_idx ON payments.refund (doubt_since) WHERE doubt_since IS NOT NULL;

GRANT UPDATE (doubt_since, doubt_alarms) ON payments.refund TO hutong_app;

-- No refund is ever in state `created`: it is written once its money is reserved.
CREATE OR REPLACE FUNCTION payments.refuse_refund_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> NEW.state AND ROW(OLD.state, NEW.state) NOT IN (
        ROW('held', 'submitted'), ROW('held', 'unknown'), ROW('held', 'succeeded'), ROW('held', 'failed'),
        ROW('unknown', 'held'), ROW('unknown', 'submitted'), ROW('unknown', 'succeeded'), ROW('unknown', 'failed'),
        ROW('submitted', 'held'), ROW('submitted', 'succeeded'), ROW('submitted', 'failed'),
        ROW('failed', 'payout'), ROW('failed', 'manual'), ROW('payout', 'succeeded'), ROW('payout', 'failed'),
        ROW('manual', 'succeeded'), ROW('manual', 'failed')
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
