-- depends: db-0001.role

CREATE SCHEMA ledger;
GRANT USAGE ON SCHEMA ledger TO hutong_app;

-- Sums are limited to 2^63-1. Each account row is rewritten by every batch that touches it, so half of each page
-- stays free for the next version (HOT); only what a transfer changes may be updated.
CREATE TABLE ledger.account (
    id uuid PRIMARY KEY,
    debits_pending bigint NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
    debits_posted bigint NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
    credits_pending bigint NOT NULL DEFAULT 0 CHECK (credits_pending >= 0),
    credits_posted bigint NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
    version bigint NOT NULL DEFAULT 0,
    next_expiry bigint NOT NULL DEFAULT 9223372036854775807,
    overdraft_limit bigint NOT NULL DEFAULT 0 CHECK (overdraft_limit >= 0),
    timestamp bigint NOT NULL,
    ledger bigint NOT NULL,
    code integer NOT NULL,
    flags integer NOT NULL,
    user_data_128 uuid NOT NULL,
    user_data_64 bigint NOT NULL,
    user_data_32 bigint NOT NULL
) WITH (fillfactor = 50);

COMMENT ON COLUMN ledger.account.version IS 'How many journal rows have touched this account.';
COMMENT ON COLUMN ledger.account.next_expiry IS
    'No hold on this account expires before this instant (nanoseconds); lets a batch skip the search for due holds.';

CREATE INDEX account_timestamp ON ledger.account (timestamp);
CREATE INDEX account_user_data_128 ON ledger.account (user_data_128);

GRANT SELECT, INSERT ON ledger.account TO hutong_app;
GRANT UPDATE (debits_pending, debits_posted, credits_pending, credits_posted, version, next_expiry, flags, overdraft_limit)
    ON ledger.account TO hutong_app;

-- Every change of how far an account may be overdrawn, for good.
CREATE TABLE ledger.overdraft_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES ledger.account,
    old_limit bigint NOT NULL,
    new_limit bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    reason text NOT NULL
);
GRANT SELECT, INSERT ON ledger.overdraft_change TO hutong_app;

CREATE FUNCTION ledger.nil() RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN '00000000-0000-0000-0000-000000000000'::uuid;

-- The journal. One row per transfer, with the version and the balances that it gave each of its two accounts, so
-- that a balance at any time and a statement need no summing. Ids are time-ordered; ranges of ids are ranges of time.
-- user_data_64 holds 64 bits without a sign. A flag of 32768 marks a row the ledger wrote itself: a hold expired.
CREATE TABLE ledger.transfer (
    id uuid NOT NULL,
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL,
    amount bigint NOT NULL CHECK (amount >= 0),
    pending_id uuid NOT NULL,
    user_data_128 uuid NOT NULL,
    user_data_64 bigint NOT NULL,
    user_data_32 bigint NOT NULL,
    timeout bigint NOT NULL,
    ledger bigint NOT NULL,
    code integer NOT NULL,
    flags integer NOT NULL,
    timestamp bigint NOT NULL,
    accounting_date date NOT NULL,
    debit_version bigint NOT NULL,
    credit_version bigint NOT NULL,
    debit_debits_pending bigint NOT NULL,
    debit_debits_posted bigint NOT NULL,
    debit_credits_pending bigint NOT NULL,
    debit_credits_posted bigint NOT NULL,
    credit_debits_pending bigint NOT NULL,
    credit_debits_posted bigint NOT NULL,
    credit_credits_pending bigint NOT NULL,
    credit_credits_posted bigint NOT NULL,
    xact bigint NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

COMMENT ON COLUMN ledger.transfer.xact IS
    'The transaction that wrote the row: what is older than every running transaction can be sealed.';

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of %.% never change', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER transfer_never_changes BEFORE UPDATE OR DELETE ON ledger.transfer
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER transfer_is_never_emptied BEFORE TRUNCATE ON ledger.transfer
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

GRANT SELECT, INSERT ON ledger.transfer TO hutong_app;

-- What every partition of the journal needs beyond what it inherits: an account's versions never fork, timestamps are
-- unique, and no TRUNCATE.
CREATE FUNCTION ledger.guard_partition(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE UNIQUE INDEX %I ON ledger.%I (debit_account_id, debit_version)', name || '_debit', name);
    EXECUTE format('CREATE UNIQUE INDEX %I ON ledger.%I (credit_account_id, credit_version)', name || '_credit', name);
    EXECUTE format('CREATE UNIQUE INDEX %I ON ledger.%I (timestamp)', name || '_timestamp', name);
    EXECUTE format('CREATE INDEX %I ON ledger.%I (user_data_128) '
        'WHERE user_data_128 <> ''00000000-0000-0000-0000-000000000000''', name || '_user_data_128', name);
    EXECUTE format('CREATE INDEX %I ON ledger.%I USING brin (xact) WITH (pages_per_range = 32)', name || '_xact', name);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON ledger.%I FOR EACH STATEMENT '
        'EXECUTE FUNCTION ledger.refuse_change()', name || '_is_never_emptied', name);
END
$$;
REVOKE ALL ON FUNCTION ledger.guard_partition(text) FROM PUBLIC;

-- Takes ids that are not time-ordered, and everything for which no partition was made ahead.
CREATE TABLE ledger.transfer_default PARTITION OF ledger.transfer DEFAULT;
SELECT ledger.guard_partition('transfer_default');

-- The state of each pending transfer: 1 pending, 2 posted, 3 voided, 4 expired. Guarded by the locks of its accounts.
CREATE TABLE ledger.pending (
    id uuid PRIMARY KEY,
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL,
    expires_at bigint NOT NULL,
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 4)
) WITH (fillfactor = 80);

CREATE INDEX pending_due ON ledger.pending (expires_at) WHERE state = 1 AND expires_at > 0;
CREATE INDEX pending_debit ON ledger.pending (debit_account_id, expires_at) WHERE state = 1 AND expires_at > 0;
CREATE INDEX pending_credit ON ledger.pending (credit_account_id, expires_at) WHERE state = 1 AND expires_at > 0;

CREATE FUNCTION ledger.resolve_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 1 OR NEW.state = 1 THEN
        RAISE EXCEPTION 'hold % was resolved before', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER pending_is_resolved_once BEFORE UPDATE ON ledger.pending
    FOR EACH ROW EXECUTE FUNCTION ledger.resolve_once();

GRANT SELECT, INSERT ON ledger.pending TO hutong_app;
GRANT UPDATE (state) ON ledger.pending TO hutong_app;

-- Ids whose transfer failed for a reason that may pass: they stay failed for ever.
CREATE TABLE ledger.failed_transfer (
    id uuid PRIMARY KEY,
    status integer NOT NULL,
    timestamp bigint NOT NULL
);
GRANT SELECT, INSERT ON ledger.failed_transfer TO hutong_app;

-- The date to which new transfers belong; empty until the first day cut, and then it moves by day cuts only.
CREATE TABLE ledger.accounting_day (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    online_date date,
    batch_date date
);
INSERT INTO ledger.accounting_day DEFAULT VALUES;
GRANT SELECT ON ledger.accounting_day TO hutong_app;

-- The last timestamp given out. Timestamps are unique and rise along each account because they are taken while its
-- row is locked.
CREATE SEQUENCE ledger.clock MINVALUE 0 START 0;
GRANT USAGE, SELECT, UPDATE ON SEQUENCE ledger.clock TO hutong_app;

-- Take `count` consecutive timestamps, none before `now_ns`, and return the first. The lock lives inside one
-- expression, so nothing can interrupt between taking and giving it back.
CREATE FUNCTION ledger.tick(count bigint, now_ns bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    taken record;
BEGIN
    SELECT pg_advisory_lock(x'6c6564676572'::bigint) AS locked,
        setval('ledger.clock', greatest(coalesce(pg_sequence_last_value('ledger.clock'), 0), now_ns - 1) + count)
            AS last,
        pg_advisory_unlock(x'6c6564676572'::bigint) AS unlocked
    INTO taken;
    RETURN taken.last - count + 1;
END
$$;

-- Lock the accounts of a batch in id order and bring everything the batch must know, in one round trip. The locks
-- come first; the rest is read by statements of their own, so they see what was committed while waiting.
-- The bounds of the ids keep the search to the partitions that can hold them.
-- kind 0: the accounts, each as record_send writes it (thousands of rows cost more to read one by one); 1: a transfer,
-- n9 its state if it is a hold; 2: an id that failed before; 3: the first timestamp of the batch, the accounting date in
-- days since 1970-01-01, and this transaction's number.
CREATE FUNCTION ledger.acquire(
    event_ids uuid[], pending_ids uuid[], account_ids uuid[], least_id uuid, greatest_id uuid,
    tick_count bigint, now_ns bigint
) RETURNS TABLE (
    kind smallint, a uuid, b uuid, c uuid, d uuid, e uuid,
    n1 bigint, n2 bigint, n3 bigint, n4 bigint, n5 bigint, n6 bigint, n7 bigint, n8 bigint, n9 bigint, packed bytea
) LANGUAGE plpgsql AS $$
DECLARE
    wanted uuid[] := account_ids;
BEGIN
    IF cardinality(pending_ids) > 0 THEN
        SELECT array_agg(x) INTO wanted FROM (
            SELECT unnest(account_ids)
            UNION SELECT p.debit_account_id FROM ledger.pending p WHERE p.id = ANY (pending_ids)
            UNION SELECT p.credit_account_id FROM ledger.pending p WHERE p.id = ANY (pending_ids)
        ) u (x);
    END IF;
    RETURN QUERY
        SELECT 0::smallint, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            string_agg(record_send(ROW(
                l.id, l.debits_pending, l.debits_posted, l.credits_pending, l.credits_posted, l.version,
                l.next_expiry, l.overdraft_limit, l.timestamp, l.ledger, l.flags
            )), ''::bytea)
        FROM (
            SELECT t.id, t.debits_pending, t.debits_posted, t.credits_pending, t.credits_posted, t.version,
                t.next_expiry, t.overdraft_limit, t.timestamp, t.ledger, t.flags::bigint AS flags
            FROM ledger.account t WHERE t.id = ANY (wanted) ORDER BY t.id FOR NO KEY UPDATE
        ) l;
    RETURN QUERY
        SELECT 1::smallint, t.id, t.debit_account_id, t.credit_account_id, t.pending_id, t.user_data_128,
            t.amount, t.user_data_64, t.user_data_32, t.timeout, t.ledger, t.code::bigint, t.flags::bigint,
            t.timestamp, p.state::bigint, NULL::bytea
        FROM ledger.transfer t LEFT JOIN ledger.pending p ON p.id = t.id
        WHERE t.id = ANY (event_ids || pending_ids) AND t.id BETWEEN least_id AND greatest_id;
    RETURN QUERY
        SELECT 2::smallint, f.id, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea
        FROM ledger.failed_transfer f WHERE f.id = ANY (event_ids);
    RETURN QUERY
        SELECT 3::smallint, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid,
            ledger.tick(tick_count, now_ns), (y.online_date - DATE '1970-01-01')::bigint,
            pg_current_xact_id()::text::bigint,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea
        FROM ledger.accounting_day y;
END
$$;
