-- depends: events-0004.retention

-- Whether each event of a partition has its number, and whether each was published if anybody wants that. Nothing is
-- added to a partition whose time is over, so what holds here holds later too; it is asked before any lock is taken.
CREATE FUNCTION events.told(wanted text, published boolean) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    it events.partition;
    low uuid;
    high uuid;
BEGIN
    SELECT * INTO STRICT it FROM events.partition WHERE name = wanted;
    IF it.parent <> 'outbox' THEN
        RETURN NULL;
    END IF;
    low := events.first_id(it.low_ms);
    high := events.first_id(it.high_ms);
    IF EXISTS (
        SELECT FROM events.outbox o
        WHERE o.event_id >= low AND o.event_id < high
            AND o.transaction_id >= (SELECT coalesce(pg_snapshot_xmin(s.snapshot), '0'::xid8) FROM events.sequencer s)
            AND NOT EXISTS (SELECT FROM events.stream_entry e WHERE e.event_id = o.event_id)
    ) THEN
        RETURN 'not_numbered';
    END IF;
    IF published AND EXISTS (
        SELECT FROM events.stream s
        WHERE EXISTS (
            SELECT FROM events.stream_entry e
            WHERE e.stream = s.stream AND e.no > s.published_no AND e.event_id >= low AND e.event_id < high
        )
    ) THEN
        RETURN 'not_published';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION events.told(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION events.told(text, boolean) TO hutong_app;
