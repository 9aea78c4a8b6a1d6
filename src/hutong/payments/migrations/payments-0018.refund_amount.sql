-- depends: payments-0017.exceptions

-- Where two persons have taken another amount than was ordered as what a channel has given back, the refund has that
-- amount, and this is the ordered one.
ALTER TABLE payments.refund ADD COLUMN ordered_minor bigint CHECK (ordered_minor > 0);

-- An amount changes once, before the refund has ended, and the ordered one is kept.
CREATE FUNCTION payments.refuse_refund_amount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.finished_at IS NOT NULL OR OLD.ordered_minor IS NOT NULL OR NEW.ordered_minor IS DISTINCT FROM OLD.amount_minor THEN
        RAISE EXCEPTION 'the amount of a refund does not change any more' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER refund_amount BEFORE UPDATE ON payments.refund
FOR EACH ROW WHEN (
    OLD.amount_minor <> NEW.amount_minor OR OLD.fee_minor <> NEW.fee_minor
    OR OLD.ordered_minor IS DISTINCT FROM NEW.ordered_minor
) EXECUTE FUNCTION payments.refuse_refund_amount();

GRANT UPDATE (amount_minor, fee_minor, ordered_minor) ON payments.refund TO hutong_app;
