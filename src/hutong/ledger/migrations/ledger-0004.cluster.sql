-- depends: ledger-0003.accounting db-0002.cluster

-- The numbers of transactions that the books keep are shifted by db.xact_offset(): they mean the same in every cluster
-- that the database is restored into.
COMMENT ON COLUMN ledger.transfer.xact IS
    'The transaction that wrote the row, shifted by db.xact_offset(): what is older than every running one can be sealed.';

-- The highest number that the books keep. Every row before the end of the chain has a lower one.
CREATE FUNCTION ledger.highest_xact() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    kept bigint;
BEGIN
    SELECT greatest((SELECT s.to_xact FROM ledger.seal s ORDER BY s.seq DESC LIMIT 1),
        (SELECT max(greatest(c.began_xact, c.switched_xact)) FROM ledger.day_cut c), 0) INTO kept;
    RETURN greatest(kept, (SELECT max(t.xact) FROM ledger.transfer t WHERE t.xact >= kept));
END
$$;
REVOKE ALL ON FUNCTION ledger.highest_xact() FROM PUBLIC;
INSERT INTO db.xact_keeper (function_name) VALUES ('ledger.highest_xact');

-- A database that was restored into this cluster before has numbers that are higher than the counter.
SELECT db.adopt_cluster();

-- As before, but for the number of the transaction.
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
            db.xact_offset() + pg_current_xact_id()::text::bigint,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea
        FROM ledger.accounting_day y;
END
$$;
