-- depends: ledger-0007.proof

-- Subjects that finance added to the chart. The class of a subject follows from the first digit of its code.
CREATE TABLE ledger.subject (
    code integer PRIMARY KEY CHECK (code BETWEEN 1001 AND 5999 AND code % 100 <> 0),
    name_en text NOT NULL CHECK (char_length(name_en) BETWEEN 1 AND 64),
    name_zh text NOT NULL CHECK (char_length(name_zh) BETWEEN 1 AND 64),
    owner text NOT NULL,
    covered boolean NOT NULL,
    added_at timestamptz NOT NULL,
    added_by text NOT NULL,
    reason text NOT NULL
);
CREATE UNIQUE INDEX subject_name_en ON ledger.subject (lower(name_en));
CREATE UNIQUE INDEX subject_name_zh ON ledger.subject (name_zh);
CREATE TRIGGER subject_never_changes BEFORE UPDATE OR DELETE ON ledger.subject
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER subject_is_never_emptied BEFORE TRUNCATE ON ledger.subject
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
GRANT SELECT, INSERT ON ledger.subject TO hutong_app;

COMMENT ON COLUMN ledger.subject.covered IS 'Whether accounts of this subject must not be overdrawn.';

-- Each closing and reopening of an account.
CREATE TABLE ledger.account_closing (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES ledger.account,
    closed boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    reason text NOT NULL
);
CREATE INDEX account_closing_account ON ledger.account_closing (account_id, id);
CREATE TRIGGER account_closing_never_changes BEFORE UPDATE OR DELETE ON ledger.account_closing
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER account_closing_is_never_emptied BEFORE TRUNCATE ON ledger.account_closing
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
GRANT SELECT, INSERT ON ledger.account_closing TO hutong_app;

-- Months (2026-03) and years (2026) that are closed, and the amount that each closing carried off each account: credit
-- balances are positive.
CREATE TABLE ledger.period_closing (
    period text PRIMARY KEY CHECK (period ~ '^[0-9]{4}(-(0[1-9]|1[0-2]))?$'),
    last_day date NOT NULL,
    closed_at timestamptz NOT NULL,
    closed_by text NOT NULL,
    reason text NOT NULL
);
CREATE TABLE ledger.period_carry (
    period text NOT NULL REFERENCES ledger.period_closing,
    account_id uuid NOT NULL REFERENCES ledger.account,
    transfer_id uuid NOT NULL UNIQUE,
    amount bigint NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (account_id, period)
);
CREATE INDEX period_carry_period ON ledger.period_carry (period);
CREATE TRIGGER period_closing_never_changes BEFORE UPDATE OR DELETE ON ledger.period_closing
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER period_closing_is_never_emptied BEFORE TRUNCATE ON ledger.period_closing
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER period_carry_never_changes BEFORE UPDATE OR DELETE ON ledger.period_carry
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER period_carry_is_never_emptied BEFORE TRUNCATE ON ledger.period_carry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
GRANT SELECT, INSERT ON ledger.period_closing, ledger.period_carry TO hutong_app;

-- The runs of a standing order follow a schedule that begins at first_at, however late a run is. An order that was
-- stopped names the person and the reason.
ALTER TABLE ledger.sweep ADD COLUMN first_at timestamptz, ADD COLUMN stopped_at timestamptz, ADD COLUMN stopped_by text,
    ADD COLUMN stop_reason text;
UPDATE ledger.sweep SET first_at = next_at;
ALTER TABLE ledger.sweep ALTER COLUMN first_at SET NOT NULL;
