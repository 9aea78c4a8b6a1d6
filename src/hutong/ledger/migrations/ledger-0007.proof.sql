-- depends: ledger-0006.one-answer

-- Every state of the fields of an account that bookings do not change, for good. The first record of an account is how it was
-- opened; of these fields only the overdraft limit and the flag that closes the account change later.
CREATE TABLE ledger.account_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL,
    ledger bigint NOT NULL,
    code integer NOT NULL,
    flags integer NOT NULL,
    overdraft_limit bigint NOT NULL,
    timestamp bigint NOT NULL,
    user_data_128 uuid NOT NULL,
    user_data_64 bigint NOT NULL,
    user_data_32 bigint NOT NULL,
    made_by text NOT NULL,
    xact bigint NOT NULL
);
INSERT INTO ledger.account_change (
    account_id, ledger, code, flags, overdraft_limit, timestamp, user_data_128, user_data_64, user_data_32, made_by, xact
)
SELECT a.id, a.ledger, a.code, a.flags, a.overdraft_limit, a.timestamp, a.user_data_128, a.user_data_64, a.user_data_32,
    session_user, db.xact_offset() + pg_current_xact_id()::text::bigint
FROM ledger.account a ORDER BY a.timestamp, a.id;
CREATE INDEX account_change_account ON ledger.account_change (account_id, id);
CREATE INDEX account_change_xact ON ledger.account_change USING brin (xact) WITH (pages_per_range = 32);

CREATE FUNCTION ledger.record_opening() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.account_change (
        account_id, ledger, code, flags, overdraft_limit, timestamp, user_data_128, user_data_64, user_data_32, made_by,
        xact
    )
    SELECT a.id, a.ledger, a.code, a.flags, a.overdraft_limit, a.timestamp, a.user_data_128, a.user_data_64,
        a.user_data_32, session_user, db.xact_offset() + pg_current_xact_id()::text::bigint
    FROM opened a;
    RETURN NULL;
END
$$;
CREATE FUNCTION ledger.record_account_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.account_change (
        account_id, ledger, code, flags, overdraft_limit, timestamp, user_data_128, user_data_64, user_data_32, made_by,
        xact
    ) VALUES (
        NEW.id, NEW.ledger, NEW.code, NEW.flags, NEW.overdraft_limit, NEW.timestamp, NEW.user_data_128, NEW.user_data_64,
        NEW.user_data_32, session_user, db.xact_offset() + pg_current_xact_id()::text::bigint
    );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION ledger.record_opening(), ledger.record_account_change() FROM PUBLIC;
CREATE TRIGGER account_is_recorded AFTER INSERT ON ledger.account
    REFERENCING NEW TABLE AS opened FOR EACH STATEMENT EXECUTE FUNCTION ledger.record_opening();
-- Every batch updates accounts, so the condition comes before the function.
CREATE TRIGGER account_change_is_recorded AFTER UPDATE ON ledger.account FOR EACH ROW
    WHEN (OLD.flags <> NEW.flags OR OLD.overdraft_limit <> NEW.overdraft_limit OR OLD.code <> NEW.code
        OR OLD.ledger <> NEW.ledger OR OLD.user_data_128 <> NEW.user_data_128)
    EXECUTE FUNCTION ledger.record_account_change();

CREATE TRIGGER account_change_never_changes BEFORE UPDATE OR DELETE ON ledger.account_change
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER account_change_is_never_emptied BEFORE TRUNCATE ON ledger.account_change
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
GRANT SELECT ON ledger.account_change TO hutong_app;

-- The other records of who did what get the number of their transaction too, so that seals cover them. Those there are
-- already go under the next seal.
CREATE FUNCTION ledger.this_xact() RETURNS bigint LANGUAGE sql VOLATILE
    RETURN db.xact_offset() + pg_current_xact_id()::text::bigint;
ALTER TABLE ledger.memo_entry ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
ALTER TABLE ledger.reversal ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
ALTER TABLE ledger.overdraft_change ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
ALTER TABLE ledger.late_import ADD COLUMN xact bigint NOT NULL DEFAULT ledger.this_xact();
CREATE INDEX memo_entry_xact ON ledger.memo_entry USING brin (xact) WITH (pages_per_range = 32);
CREATE INDEX reversal_xact ON ledger.reversal USING brin (xact) WITH (pages_per_range = 32);
CREATE INDEX overdraft_change_xact ON ledger.overdraft_change USING brin (xact) WITH (pages_per_range = 32);
CREATE INDEX late_import_xact ON ledger.late_import USING brin (xact) WITH (pages_per_range = 32);
CREATE TRIGGER reversal_never_changes BEFORE UPDATE OR DELETE ON ledger.reversal
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER overdraft_change_never_changes BEFORE UPDATE OR DELETE ON ledger.overdraft_change
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();

-- Everything beside the journal that seals cover, with the digests of its rows.
CREATE VIEW ledger.record AS
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
FROM ledger.late_import i;
GRANT SELECT ON ledger.record TO hutong_app;

-- Records count among the numbers that the books keep.
CREATE OR REPLACE FUNCTION ledger.highest_xact() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    kept bigint;
BEGIN
    SELECT greatest((SELECT s.to_xact FROM ledger.seal s ORDER BY s.seq DESC LIMIT 1),
        (SELECT max(greatest(c.began_xact, c.switched_xact)) FROM ledger.day_cut c), 0) INTO kept;
    RETURN greatest(kept, (SELECT max(t.xact) FROM ledger.transfer t WHERE t.xact >= kept),
        (SELECT max(r.xact) FROM ledger.record r WHERE r.xact >= kept));
END
$$;

-- Seals of version 2 cover these records too, and their hash covers everything that they say of themselves.
ALTER TABLE ledger.seal
    ADD COLUMN version smallint NOT NULL DEFAULT 1,
    ADD COLUMN record_count integer NOT NULL DEFAULT 0,
    ADD COLUMN records bytea NOT NULL DEFAULT '';
ALTER TABLE ledger.seal ALTER COLUMN version DROP DEFAULT, ALTER COLUMN record_count DROP DEFAULT,
    ALTER COLUMN records DROP DEFAULT;
