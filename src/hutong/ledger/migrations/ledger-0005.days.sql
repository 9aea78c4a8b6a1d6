-- depends: ledger-0004.cluster

-- Whether a day ends on its own date or on the date after it, which is what cut times meant until now.
ALTER TABLE ledger.accounting_day
    ADD COLUMN cut_belongs_to text NOT NULL DEFAULT 'next_day' CHECK (cut_belongs_to IN ('same_day', 'next_day'));
GRANT UPDATE (cut_belongs_to) ON ledger.accounting_day TO hutong_app;
COMMENT ON COLUMN ledger.accounting_day.online_date IS
    'No new row belongs to an earlier day. Each row belongs to the day of its timestamp, or to this one if that is later.';

-- When each closed day ended, by the rule of that time.
ALTER TABLE ledger.day_cut ADD COLUMN due_at timestamptz;

-- Until now dates before the first cut were the Beijing calendar's, whatever the zone. They do not fall from here on.
UPDATE ledger.accounting_day SET online_date = (SELECT max(t.accounting_date) FROM ledger.transfer t)
WHERE online_date IS NULL;

-- Dates do not fall along an account, or a day could never be added up from its rows.
ALTER TABLE ledger.account ADD COLUMN last_date date;
COMMENT ON COLUMN ledger.account.last_date IS 'The accounting date of its newest row, since dates are kept here.';
GRANT UPDATE (last_date) ON ledger.account TO hutong_app;

-- Transfers that were imported with timestamps of days that were closed, and why.
CREATE TABLE ledger.late_import (
    transfer_id uuid PRIMARY KEY,
    day date NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    imported_at timestamptz NOT NULL
);
CREATE TRIGGER late_import_never_changes BEFORE UPDATE OR DELETE ON ledger.late_import
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER late_import_is_never_emptied BEFORE TRUNCATE ON ledger.late_import
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
GRANT SELECT, INSERT ON ledger.late_import TO hutong_app;

-- As before, with what the date of a batch follows from: in kind 0, n1 is the latest date of the accounts; in kind 3, n2
-- is the earliest date allowed, and packed the rule of the days. In a snapshot that does not move, a transaction would
-- see a date that has passed, and its row would fall between two closed days.
CREATE OR REPLACE FUNCTION ledger.acquire(
    event_ids uuid[], pending_ids uuid[], account_ids uuid[], least_id uuid, greatest_id uuid,
    tick_count bigint, now_ns bigint
) RETURNS TABLE (
    kind smallint, a uuid, b uuid, c uuid, d uuid, e uuid,
    n1 bigint, n2 bigint, n3 bigint, n4 bigint, n5 bigint, n6 bigint, n7 bigint, n8 bigint, n9 bigint, packed bytea
) LANGUAGE plpgsql AS $$
DECLARE
    wanted uuid[] := account_ids;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'transfers are booked in READ COMMITTED transactions only: this one is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'In a snapshot that does not move, a row could get the date of a day that is closed.';
    END IF;
    IF cardinality(pending_ids) > 0 THEN
        SELECT array_agg(x) INTO wanted FROM (
            SELECT unnest(account_ids)
            UNION SELECT p.debit_account_id FROM ledger.pending p WHERE p.id = ANY (pending_ids)
            UNION SELECT p.credit_account_id FROM ledger.pending p WHERE p.id = ANY (pending_ids)
        ) u (x);
    END IF;
    RETURN QUERY
        SELECT 0::smallint, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid,
            (max(l.last_date) - DATE '1970-01-01')::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            string_agg(record_send(ROW(
                l.id, l.debits_pending, l.debits_posted, l.credits_pending, l.credits_posted, l.version,
                l.next_expiry, l.overdraft_limit, l.timestamp, l.ledger, l.flags
            )), ''::bytea)
        FROM (
            SELECT t.id, t.debits_pending, t.debits_posted, t.credits_pending, t.credits_posted, t.version,
                t.next_expiry, t.overdraft_limit, t.timestamp, t.ledger, t.flags::bigint AS flags, t.last_date
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
            db.xact_offset() + pg_current_xact_id()::text::bigint,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            convert_to(concat_ws(' ', y.cut_belongs_to, y.cut_time, y.zone), 'UTF8')
        FROM ledger.accounting_day y;
END
$$;
