-- depends: ledger-0008.finance

-- What finance records gets the number of its transaction too, so that seals cover it. What there is already goes under the
-- next seal.
ALTER TABLE ledger.account_closing ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
ALTER TABLE ledger.period_closing ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
ALTER TABLE ledger.period_carry ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
ALTER TABLE ledger.subject ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
ALTER TABLE ledger.sweep_run ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
CREATE INDEX account_closing_xact ON ledger.account_closing USING brin (xact) WITH (pages_per_range = 32);
CREATE INDEX period_carry_xact ON ledger.period_carry USING brin (xact) WITH (pages_per_range = 32);
CREATE INDEX sweep_run_xact ON ledger.sweep_run USING brin (xact) WITH (pages_per_range = 32);
CREATE TRIGGER sweep_run_never_changes BEFORE UPDATE OR DELETE ON ledger.sweep_run
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER sweep_run_is_never_emptied BEFORE TRUNCATE ON ledger.sweep_run
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

-- Every state of a standing order, for good, but for the time of its next run.
CREATE TABLE ledger.sweep_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sweep_id uuid NOT NULL,
    from_account_id uuid NOT NULL,
    to_account_id uuid NOT NULL,
    most_minor bigint NOT NULL,
    every interval NOT NULL,
    first_at timestamptz NOT NULL,
    active boolean NOT NULL,
    created_by text NOT NULL,
    stopped_at timestamptz,
    stopped_by text,
    stop_reason text,
    made_by text NOT NULL,
    xact bigint NOT NULL
);
INSERT INTO ledger.sweep_change (
    sweep_id, from_account_id, to_account_id, most_minor, every, first_at, active, created_by, stopped_at, stopped_by,
    stop_reason, made_by, xact
)
SELECT s.id, s.from_account_id, s.to_account_id, s.most_minor, s.every, s.first_at, s.active, s.created_by, s.stopped_at,
    s.stopped_by, s.stop_reason, session_user, ledger.this_xact()
FROM ledger.sweep s ORDER BY s.id;
CREATE INDEX sweep_change_sweep ON ledger.sweep_change (sweep_id, id);

CREATE FUNCTION ledger.record_sweep() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.sweep_change (
        sweep_id, from_account_id, to_account_id, most_minor, every, first_at, active, created_by, stopped_at, stopped_by,
        stop_reason, made_by, xact
    ) VALUES (
        NEW.id, NEW.from_account_id, NEW.to_account_id, NEW.most_minor, NEW.every, NEW.first_at, NEW.active,
        NEW.created_by, NEW.stopped_at, NEW.stopped_by, NEW.stop_reason, session_user, ledger.this_xact()
    );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION ledger.record_sweep() FROM PUBLIC;
CREATE TRIGGER sweep_is_recorded AFTER INSERT ON ledger.sweep
    FOR EACH ROW EXECUTE FUNCTION ledger.record_sweep();
-- Every run updates the time of the next one, which needs no record.
CREATE TRIGGER sweep_change_is_recorded AFTER UPDATE ON ledger.sweep FOR EACH ROW
    WHEN ((OLD.from_account_id, OLD.to_account_id, OLD.most_minor, OLD.every, OLD.first_at, OLD.active, OLD.created_by,
            OLD.stopped_at, OLD.stopped_by, OLD.stop_reason)
        IS DISTINCT FROM (NEW.from_account_id, NEW.to_account_id, NEW.most_minor, NEW.every, NEW.first_at, NEW.active,
            NEW.created_by, NEW.stopped_at, NEW.stopped_by, NEW.stop_reason))
    EXECUTE FUNCTION ledger.record_sweep();
CREATE TRIGGER sweep_change_never_changes BEFORE UPDATE OR DELETE ON ledger.sweep_change
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER sweep_change_is_never_emptied BEFORE TRUNCATE ON ledger.sweep_change
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
GRANT SELECT ON ledger.sweep_change TO hutong_app;

-- As before, with what finance records.
CREATE OR REPLACE VIEW ledger.record AS
SELECT c.xact, 'account_change' AS kind, c.id::text AS key, substring(sha256(record_send(ROW(
    'account_change'::text, c.id, c.account_id, c.ledger, c.code, c.flags, c.overdraft_limit, c.timestamp, c.user_data_128,
    c.user_data_64, c.user_data_32, c.made_by, c.xact
))) FROM 1 FOR 16) AS leaf
FROM ledger.account_change c
UNION ALL
SELECT r.xact, 'reversal', r.transfer_id::text, substring(sha256(record_send(ROW(
    'reversal'::text, r.transfer_id, r.reversal_id, r.reason, r.reversed_by, r.reversed_at, r.xact
))) FROM 1 FOR 16)
FROM ledger.reversal r
UNION ALL
SELECT o.xact, 'overdraft_change', o.id::text, substring(sha256(record_send(ROW(
    'overdraft_change'::text, o.id, o.account_id, o.old_limit, o.new_limit, o.changed_at, o.changed_by, o.reason, o.xact
))) FROM 1 FOR 16)
FROM ledger.overdraft_change o
UNION ALL
SELECT m.xact, 'memo_entry', m.ledger || ' ' || m.owner || ' ' || m.seq, substring(sha256(record_send(ROW(
    'memo_entry'::text, m.ledger, m.owner, m.seq, m.ref, m.amount, m.total_after, m.entered_at, m.xact
))) FROM 1 FOR 16)
FROM ledger.memo_entry m
UNION ALL
SELECT i.xact, 'late_import', i.transfer_id::text, substring(sha256(record_send(ROW(
    'late_import'::text, i.transfer_id, i.day, i.reason, i.imported_at, i.xact
))) FROM 1 FOR 16)
FROM ledger.late_import i
UNION ALL
SELECT c.xact, 'account_closing', c.id::text, substring(sha256(record_send(ROW(
    'account_closing'::text, c.id, c.account_id, c.closed, c.changed_at, c.changed_by, c.reason, c.xact
))) FROM 1 FOR 16)
FROM ledger.account_closing c
UNION ALL
SELECT p.xact, 'period_closing', p.period, substring(sha256(record_send(ROW(
    'period_closing'::text, p.period, p.last_day, p.closed_at, p.closed_by, p.reason, p.xact
))) FROM 1 FOR 16)
FROM ledger.period_closing p
UNION ALL
SELECT y.xact, 'period_carry', y.period || ' ' || y.account_id, substring(sha256(record_send(ROW(
    'period_carry'::text, y.period, y.account_id, y.transfer_id, y.amount, y.xact
))) FROM 1 FOR 16)
FROM ledger.period_carry y
UNION ALL
SELECT s.xact, 'subject', s.code::text, substring(sha256(record_send(ROW(
    'subject'::text, s.code, s.name_en, s.name_zh, s.owner, s.covered, s.added_at, s.added_by, s.reason, s.xact
))) FROM 1 FOR 16)
FROM ledger.subject s
UNION ALL
SELECT w.xact, 'sweep_change', w.id::text, substring(sha256(record_send(ROW(
    'sweep_change'::text, w.id, w.sweep_id, w.from_account_id, w.to_account_id, w.most_minor, w.every, w.first_at,
    w.active, w.created_by, w.stopped_at, w.stopped_by, w.stop_reason, w.made_by, w.xact
))) FROM 1 FOR 16)
FROM ledger.sweep_change w
UNION ALL
SELECT u.xact, 'sweep_run', u.sweep_id || ' ' || u.transfer_id, substring(sha256(record_send(ROW(
    'sweep_run'::text, u.sweep_id, u.ran_at, u.transfer_id, u.status, u.amount_minor, u.xact
))) FROM 1 FOR 16)
FROM ledger.sweep_run u;
