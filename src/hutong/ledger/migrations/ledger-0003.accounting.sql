-- depends: ledger-0002.seal

-- Day cuts: when a day of business ends, and how far the closing of each day has come.
ALTER TABLE ledger.accounting_day
    ADD COLUMN cut_time time NOT NULL DEFAULT '00:00',
    ADD COLUMN zone text NOT NULL DEFAULT 'Asia/Shanghai';
GRANT UPDATE (online_date, batch_date, cut_time, zone) ON ledger.accounting_day TO hutong_app;

-- began_xact: no row of the next day has a lower number. switched_xact: every row of this day has a lower one.
CREATE TABLE ledger.day_cut (
    day date PRIMARY KEY,
    step text NOT NULL CHECK (step IN ('switched', 'drained', 'balanced', 'finished')),
    from_xact bigint NOT NULL,
    began_xact bigint NOT NULL,
    switched_xact bigint,
    started_at timestamptz NOT NULL,
    finished_at timestamptz
);
GRANT SELECT, INSERT, UPDATE ON ledger.day_cut TO hutong_app;

-- What each account did on a day and where it stood at its end; only accounts that moved have a row.
CREATE TABLE ledger.day_balance (
    day date NOT NULL,
    account_id uuid NOT NULL,
    ledger bigint NOT NULL,
    code integer NOT NULL,
    opening_debits bigint NOT NULL,
    opening_credits bigint NOT NULL,
    debits bigint NOT NULL,
    credits bigint NOT NULL,
    closing_debits bigint NOT NULL,
    closing_credits bigint NOT NULL,
    PRIMARY KEY (account_id, day)
);
CREATE INDEX day_balance_day ON ledger.day_balance (day);
GRANT SELECT, INSERT, DELETE ON ledger.day_balance TO hutong_app;

-- The same for each subject of the chart; every subject that ever moved has a row for every day.
CREATE TABLE ledger.day_subject (
    day date NOT NULL,
    ledger bigint NOT NULL,
    code integer NOT NULL,
    opening_debits numeric NOT NULL,
    opening_credits numeric NOT NULL,
    debits numeric NOT NULL,
    credits numeric NOT NULL,
    closing_debits numeric NOT NULL,
    closing_credits numeric NOT NULL,
    PRIMARY KEY (day, ledger, code)
);
GRANT SELECT, INSERT, DELETE ON ledger.day_subject TO hutong_app;

-- Each transfer is reversed at most once.
CREATE TABLE ledger.reversal (
    transfer_id uuid PRIMARY KEY,
    reversal_id uuid NOT NULL UNIQUE,
    reason text NOT NULL,
    reversed_by text NOT NULL,
    reversed_at timestamptz NOT NULL
);
GRANT SELECT, INSERT ON ledger.reversal TO hutong_app;

-- Sweeps between a merchant's receiving and paying account, and each run of each.
CREATE TABLE ledger.sweep (
    id uuid PRIMARY KEY,
    from_account_id uuid NOT NULL REFERENCES ledger.account,
    to_account_id uuid NOT NULL REFERENCES ledger.account,
    most_minor bigint NOT NULL CHECK (most_minor > 0),
    every interval NOT NULL CHECK (every > interval '0'),
    next_at timestamptz NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created_by text NOT NULL
);
CREATE INDEX sweep_due ON ledger.sweep (next_at) WHERE active;
GRANT SELECT, INSERT, UPDATE ON ledger.sweep TO hutong_app;
CREATE TABLE ledger.sweep_run (
    sweep_id uuid NOT NULL REFERENCES ledger.sweep,
    ran_at timestamptz NOT NULL,
    transfer_id uuid NOT NULL,
    status integer NOT NULL,
    amount_minor bigint NOT NULL,
    PRIMARY KEY (sweep_id, ran_at)
);
GRANT SELECT, INSERT ON ledger.sweep_run TO hutong_app;

-- Memo ledgers: counted, not booked; never part of a trial balance.
CREATE TABLE ledger.memo_total (
    ledger text NOT NULL,
    owner uuid NOT NULL,
    total bigint NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (ledger, owner)
) WITH (fillfactor = 70);
CREATE TABLE ledger.memo_entry (
    ledger text NOT NULL,
    owner uuid NOT NULL,
    seq bigint NOT NULL,
    ref text NOT NULL,
    amount bigint NOT NULL,
    total_after bigint NOT NULL,
    entered_at timestamptz NOT NULL,
    PRIMARY KEY (ledger, owner, seq),
    UNIQUE (ledger, owner, ref)
);
CREATE TRIGGER memo_entry_never_changes BEFORE UPDATE OR DELETE ON ledger.memo_entry
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER memo_entry_is_never_emptied BEFORE TRUNCATE ON ledger.memo_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
GRANT SELECT, INSERT, UPDATE ON ledger.memo_total TO hutong_app;
GRANT SELECT, INSERT ON ledger.memo_entry TO hutong_app;
