-- depends: ledger-0005.days

-- An id whose transfer failed for a reason that may pass stays failed permanently. It is a row of the journal of its own,
-- so that the one index on ids decides between the connections that use it at the same time, and the seals cover it. It
-- moves nothing: flags 98304, no accounts, the reason in user_data_32, its timestamp as version.
-- An id in the range of an archived partition needs no such row: what the archive does not have is refused anyway.
INSERT INTO ledger.transfer (
    id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64, user_data_32, timeout, ledger,
    code, flags, timestamp, accounting_date, debit_version, credit_version, debit_debits_pending, debit_debits_posted,
    debit_credits_pending, debit_credits_posted, credit_debits_pending, credit_debits_posted, credit_credits_pending,
    credit_credits_posted, xact
)
SELECT f.id, ledger.nil(), ledger.nil(), 0, ledger.nil(), ledger.nil(), 0, f.status, 0, 0, 0, 98304, f.timestamp,
    (to_timestamp(f.timestamp / 1000000000) AT TIME ZONE 'Asia/Shanghai')::date, f.timestamp, f.timestamp,
    0, 0, 0, 0, 0, 0, 0, 0, db.xact_offset() + pg_current_xact_id()::text::bigint
FROM ledger.failed_transfer f
WHERE NOT EXISTS (SELECT 1 FROM ledger.journal t WHERE t.id = f.id)
    AND NOT EXISTS (
        SELECT 1 FROM ledger.partition p
        WHERE p.archived_at IS NOT NULL AND f.id >= ledger.first_id(p.low_ms) AND f.id < ledger.first_id(p.high_ms)
    );
DROP TABLE ledger.failed_transfer;

-- As before, but failed ids are rows of the journal, and ids of archived partitions are answered from the archive.
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
        SELECT CASE WHEN t.flags >= 65536 THEN 2 ELSE 1 END::smallint,
            t.id, t.debit_account_id, t.credit_account_id, t.pending_id, t.user_data_128,
            t.amount, t.user_data_64, t.user_data_32, t.timeout, t.ledger, t.code::bigint, t.flags::bigint,
            t.timestamp, p.state::bigint, NULL::bytea
        FROM ledger.transfer t LEFT JOIN ledger.pending p ON p.id = t.id
        WHERE t.id = ANY (event_ids || pending_ids) AND t.id BETWEEN least_id AND greatest_id;
    IF EXISTS (
        SELECT 1 FROM ledger.partition q
        WHERE q.archived_at IS NOT NULL
            AND ledger.first_id(q.low_ms) <= greatest_id AND ledger.first_id(q.high_ms) > least_id
    ) THEN
        RETURN QUERY
            SELECT CASE WHEN t.id IS NULL OR t.flags >= 65536 THEN 2 ELSE 1 END::smallint,
                w.id, t.debit_account_id, t.credit_account_id, t.pending_id, t.user_data_128,
                t.amount, t.user_data_64, t.user_data_32, t.timeout, t.ledger, t.code::bigint, t.flags::bigint,
                t.timestamp, p.state::bigint, NULL::bytea
            FROM unnest(event_ids || pending_ids) w (id)
            JOIN ledger.partition q ON q.archived_at IS NOT NULL
                AND w.id >= ledger.first_id(q.low_ms) AND w.id < ledger.first_id(q.high_ms)
            LEFT JOIN ledger.journal t ON t.id = w.id
            LEFT JOIN ledger.pending p ON p.id = w.id;
    END IF;
    RETURN QUERY
        SELECT 3::smallint, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid,
            ledger.tick(tick_count, now_ns), (y.online_date - DATE '1970-01-01')::bigint,
            db.xact_offset() + pg_current_xact_id()::text::bigint,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            convert_to(concat_ws(' ', y.cut_belongs_to, y.cut_time, y.zone), 'UTF8')
        FROM ledger.accounting_day y;
END
$$;
