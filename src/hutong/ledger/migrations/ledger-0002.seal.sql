-- depends: ledger-0001.core

-- The digest of one row of the journal: of its binary form, so that any change of any field shows.
CREATE FUNCTION ledger.leaf(t ledger.transfer) RETURNS bytea LANGUAGE sql STABLE
    RETURN substring(sha256(record_send(ROW(
        t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
        t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.timestamp, t.accounting_date, t.debit_version,
        t.credit_version, t.debit_debits_pending, t.debit_debits_posted, t.debit_credits_pending,
        t.debit_credits_posted, t.credit_debits_pending, t.credit_debits_posted, t.credit_credits_pending,
        t.credit_credits_posted, t.xact
    ))) FROM 1 FOR 16);

-- The chain over the committed rows, built behind the writers. One seal covers the transactions from from_xact up to
-- before to_xact; leaves holds the digests of their rows by timestamp, hash covers them and the seal before.
CREATE TABLE ledger.seal (
    seq bigint PRIMARY KEY,
    from_xact bigint NOT NULL,
    to_xact bigint NOT NULL CHECK (to_xact > from_xact),
    row_count integer NOT NULL,
    leaves bytea NOT NULL,
    hash bytea NOT NULL,
    sealed_at timestamptz NOT NULL
);
CREATE TRIGGER seal_never_changes BEFORE UPDATE OR DELETE ON ledger.seal
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER seal_is_never_emptied BEFORE TRUNCATE ON ledger.seal
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
GRANT SELECT, INSERT ON ledger.seal TO hutong_app;

-- The partitions made so far, by the milliseconds their ids begin with.
CREATE TABLE ledger.partition (
    name text PRIMARY KEY CHECK (name ~ '^transfer_[0-9a-f]{12}$'),
    low_ms bigint NOT NULL,
    high_ms bigint NOT NULL CHECK (high_ms > low_ms),
    row_count bigint,
    checksum bytea,
    archived_at timestamptz
);
GRANT SELECT ON ledger.partition TO hutong_app;

-- The least id of a millisecond.
CREATE FUNCTION ledger.first_id(ms bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex(ms), 12, '0') || repeat('0', 20))::uuid;

-- Make a partition ahead of time. The application may, though it may change no table otherwise.
CREATE FUNCTION ledger.add_partition(low bigint, high bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made text := 'transfer_' || lpad(to_hex(low), 12, '0');
BEGIN
    SET LOCAL lock_timeout = '2s';
    INSERT INTO ledger.partition (name, low_ms, high_ms) VALUES (made, low, high);
    EXECUTE format('CREATE TABLE ledger.%I PARTITION OF ledger.transfer FOR VALUES FROM (%L) TO (%L)',
        made, ledger.first_id(low), ledger.first_id(high));
    PERFORM ledger.guard_partition(made);
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION ledger.add_partition(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.add_partition(bigint, bigint) TO hutong_app;

CREATE SCHEMA ledger_archive;
GRANT USAGE ON SCHEMA ledger_archive TO hutong_app;

-- Everything ever written, the archive included.
CREATE VIEW ledger.journal AS SELECT * FROM ledger.transfer;
GRANT SELECT ON ledger.journal TO hutong_app;

-- The view of everything, after a partition went to the archive or its table was dropped there.
CREATE FUNCTION ledger.refresh_journal() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    source text := 'SELECT * FROM ledger.transfer';
    archived text;
BEGIN
    FOR archived IN SELECT tablename FROM pg_tables WHERE schemaname = 'ledger_archive' ORDER BY tablename LOOP
        source := source || format(' UNION ALL SELECT * FROM ledger_archive.%I', archived);
    END LOOP;
    EXECUTE 'CREATE OR REPLACE VIEW ledger.journal AS ' || source;
END
$$;
REVOKE ALL ON FUNCTION ledger.refresh_journal() FROM PUBLIC;

-- Move a partition whose time is over into the archive, with a checksum. Its range stays closed: an id from it that
-- came again would otherwise be taken for a new one.
CREATE FUNCTION ledger.archive_partition(wanted text, at timestamptz) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    it ledger.partition;
    sealed bigint := coalesce((SELECT max(to_xact) FROM ledger.seal), 0);
    unsealed boolean;
    held boolean;
BEGIN
    SELECT * INTO STRICT it FROM ledger.partition WHERE name = wanted AND archived_at IS NULL FOR UPDATE;
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM ledger.%I WHERE xact >= $1)', wanted) INTO unsealed USING sealed;
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM ledger.%I t JOIN ledger.pending p ON p.id = t.id AND p.state = 1)',
        wanted) INTO held;
    IF unsealed OR held THEN
        RAISE EXCEPTION 'partition % has % and stays', wanted,
            CASE WHEN held THEN 'open holds' ELSE 'rows that are not sealed' END USING ERRCODE = 'object_in_use';
    END IF;
    EXECUTE format('SELECT count(*), sha256(coalesce(string_agg(ledger.leaf(t), '''' ORDER BY t.timestamp), '''')) '
        'FROM ledger.transfer t WHERE t.id >= $1 AND t.id < $2')
        INTO it.row_count, it.checksum USING ledger.first_id(it.low_ms), ledger.first_id(it.high_ms);
    EXECUTE format('ALTER TABLE ledger.transfer DETACH PARTITION ledger.%I', wanted);
    EXECUTE format('ALTER TABLE ledger.%I SET SCHEMA ledger_archive', wanted);
    EXECUTE format('GRANT SELECT ON ledger_archive.%I TO hutong_app', wanted);
    EXECUTE format('CREATE TABLE ledger.%I PARTITION OF ledger.transfer (CHECK (false)) '
        'FOR VALUES FROM (%L) TO (%L)', wanted, ledger.first_id(it.low_ms), ledger.first_id(it.high_ms));
    UPDATE ledger.partition SET archived_at = at, row_count = it.row_count, checksum = it.checksum WHERE name = wanted;
    PERFORM ledger.refresh_journal();
    RETURN it.checksum;
END
$$;
REVOKE ALL ON FUNCTION ledger.archive_partition(text, timestamptz) FROM PUBLIC;
