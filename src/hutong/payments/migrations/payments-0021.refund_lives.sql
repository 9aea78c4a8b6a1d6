-- depends: payments-0020.code_entry

-- Refunds that their channels end otherwise than by our call: a success may fail days later (late_failure_at), a refund is
-- made in the channel's own portal (portal_no is the channel's number of it), and one of ours may come to nothing because
-- the channel has given the money back already (state superseded).
ALTER TABLE payments.refund
ADD COLUMN late_failure_at timestamptz,
ADD COLUMN portal_no text CHECK (length(portal_no) BETWEEN 1 AND 128),
DROP CONSTRAINT refund_state_check,
ADD CONSTRAINT refund_state_check CHECK (
    state IN ('created', 'held', 'submitted', 'unknown', 'succeeded', 'failed', 'superseded', 'payout', 'manual')
),
DROP CONSTRAINT refund_check1,
ADD CONSTRAINT refund_number_check
CHECK ((kind = 'surplus' OR portal_no IS NOT NULL) = (merchant_refund_no IS NULL)),
DROP CONSTRAINT refund_check2,
ADD CONSTRAINT refund_finished_check
CHECK ((state IN ('succeeded', 'failed', 'superseded')) = (finished_at IS NOT NULL));

-- What a channel reports of its portal is taken once, however often it is reported.
CREATE UNIQUE INDEX refund_portal_idx ON payments.refund (account_id, portal_no) WHERE portal_no IS NOT NULL;

-- Some channels name the order that a portal refund gives back from by their own number alone.
CREATE INDEX attempt_channel_no_idx ON payments.attempt (channel_order_no) WHERE channel_order_no IS NOT NULL;

CREATE OR REPLACE FUNCTION payments.refuse_refund_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> NEW.state AND ROW(OLD.state, NEW.state) NOT IN (
        ROW('held', 'submitted'), ROW('held', 'unknown'), ROW('held', 'succeeded'), ROW('held', 'failed'),
        ROW('held', 'superseded'), ROW('unknown', 'held'), ROW('unknown', 'submitted'), ROW('unknown', 'succeeded'),
        ROW('unknown', 'failed'), ROW('unknown', 'superseded'), ROW('submitted', 'held'),
        ROW('submitted', 'succeeded'), ROW('submitted', 'failed'), ROW('submitted', 'superseded'),
        ROW('succeeded', 'failed'), ROW('failed', 'payout'), ROW('failed', 'manual'), ROW('payout', 'succeeded'),
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

GRANT UPDATE (late_failure_at) ON payments.refund TO hutong_app;
