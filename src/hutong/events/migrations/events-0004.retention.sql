-- depends: events-0003.stream

-- Where partitions lie whose time is over, until somebody has written them to files.
CREATE SCHEMA events_archive;
GRANT USAGE ON SCHEMA events_archive TO hutong_app;

-- The partitions by time of every partitioned table here, by the milliseconds that the ids in their key begin with.
CREATE TABLE events.partition (
    name text PRIMARY KEY,
    parent text NOT NULL,
    low_ms bigint NOT NULL,
    high_ms bigint NOT NULL CHECK (high_ms > low_ms),
    detached_at timestamptz,
    file text,
    row_count bigint,
    dropped_at timestamptz CHECK (dropped_at IS NULL OR detached_at IS NOT NULL)
);
GRANT SELECT ON events.partition TO hutong_app;

-- The least id of a millisecond, and the millisecond of an id.
CREATE FUNCTION events.first_id(ms bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex(ms), 12, '0') || repeat('0', 20))::uuid;
CREATE FUNCTION events.ms_of(id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN ('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint;

-- The column that a table is cut by, and the partition that takes what no other does.
CREATE FUNCTION events.cut_by(parent text, OUT key text, OUT rest text) LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.attname, d.relname
    FROM pg_partitioned_table p
    JOIN pg_class c ON c.oid = p.partrelid AND c.relnamespace = 'events'::regnamespace AND c.relname = parent
    JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    JOIN pg_class d ON d.oid = p.partdefid
$$;
REVOKE ALL ON FUNCTION events.cut_by(text) FROM PUBLIC;

-- How a table's partitions are stored: what holds for the one that takes the rest holds for all.
CREATE FUNCTION events.storage_of(rest text) RETURNS text LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce('WITH (' || array_to_string(reloptions, ', ') || ')', '')
    FROM pg_class WHERE relnamespace = 'events'::regnamespace AND relname = rest
$$;
REVOKE ALL ON FUNCTION events.storage_of(text) FROM PUBLIC;

-- Begin to cut a table by time: the partition that has taken everything becomes the first of its time, up to a moment
-- that lies before it by five minutes, and an empty one takes the rest. No row is moved; rows that are there already
-- are read once, under a lock, to see that they belong.
CREATE FUNCTION events.begin_partitions(wanted text, now_ms bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bound constant bigint := now_ms + 300000;
    cut record;
    oldest uuid;
    newest uuid;
BEGIN
    SET LOCAL lock_timeout = '1s';
    EXECUTE format('LOCK TABLE events.%I IN ACCESS EXCLUSIVE MODE', wanted);
    SELECT c.key, c.rest INTO STRICT cut FROM events.cut_by(wanted) c WHERE c.key IS NOT NULL;
    EXECUTE format('SELECT %1$I FROM events.%2$I ORDER BY %1$I LIMIT 1', cut.key, cut.rest) INTO oldest;
    EXECUTE format('SELECT %1$I FROM events.%2$I ORDER BY %1$I DESC LIMIT 1', cut.key, cut.rest) INTO newest;
    IF newest >= events.first_id(bound) THEN
        RAISE EXCEPTION 'events.% has ids of the future', wanted USING ERRCODE = 'check_violation';
    END IF;
    EXECUTE format('ALTER TABLE events.%I DETACH PARTITION events.%I', wanted, cut.rest);
    EXECUTE format('ALTER TABLE events.%I ATTACH PARTITION events.%I FOR VALUES FROM (MINVALUE) TO (%L)',
        wanted, cut.rest, events.first_id(bound));
    EXECUTE format('CREATE TABLE events.%I PARTITION OF events.%I DEFAULT %s',
        wanted || '_rest', wanted, events.storage_of(cut.rest));
    INSERT INTO events.partition (name, parent, low_ms, high_ms)
    VALUES (cut.rest, wanted, least(coalesce(events.ms_of(oldest), now_ms), now_ms), bound);
    RETURN cut.rest;
END
$$;
REVOKE ALL ON FUNCTION events.begin_partitions(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION events.begin_partitions(text, bigint) TO hutong_app;

-- Make a partition ahead of time. It is made beside the table and attached, so that writers never wait for it.
CREATE FUNCTION events.add_partition(wanted text, low bigint, high bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made constant text := wanted || '_' || lpad(to_hex(low), 12, '0');
    cut record;
BEGIN
    SET LOCAL lock_timeout = '1s';
    SELECT c.key, c.rest INTO STRICT cut FROM events.cut_by(wanted) c WHERE c.key IS NOT NULL;
    INSERT INTO events.partition (name, parent, low_ms, high_ms) VALUES (made, wanted, low, high);
    EXECUTE format('CREATE TABLE events.%I (LIKE events.%I INCLUDING ALL) %s',
        made, wanted, events.storage_of(cut.rest));
    EXECUTE format('ALTER TABLE events.%I ATTACH PARTITION events.%I FOR VALUES FROM (%L) TO (%L)',
        wanted, made, events.first_id(low), events.first_id(high));
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION events.add_partition(text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION events.add_partition(text, bigint, bigint) TO hutong_app;

-- Take a partition out of its table; NULL when that is done, else what holds it. Events go first, and only when nobody
-- waits for one any more; a replay reads the journal before it makes a delivery pending, so it has either been seen
-- here or finds no event. What hangs on events follows them.
CREATE FUNCTION events.detach_partition(wanted text, at timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    it events.partition;
BEGIN
    SET LOCAL lock_timeout = '1s';
    SELECT * INTO STRICT it FROM events.partition WHERE name = wanted AND detached_at IS NULL FOR UPDATE;
    EXECUTE format('LOCK TABLE events.%I IN ACCESS EXCLUSIVE MODE', it.parent);
    IF it.parent <> 'outbox' AND EXISTS (
        SELECT FROM events.partition p
        WHERE p.parent = 'outbox' AND p.detached_at IS NULL AND p.low_ms < it.high_ms AND p.high_ms > it.low_ms
    ) THEN
        RETURN 'events_not_archived';
    END IF;
    IF it.parent IN ('outbox', 'delivery') AND EXISTS (
        SELECT FROM events.delivery d
        WHERE d.state = 'pending' AND d.event_id < events.first_id(it.high_ms)
            AND (d.event_id >= events.first_id(it.low_ms))
    ) THEN
        RETURN 'deliveries_pending';
    END IF;
    EXECUTE format('ALTER TABLE events.%I DETACH PARTITION events.%I', it.parent, wanted);
    EXECUTE format('ALTER TABLE events.%I SET SCHEMA events_archive', wanted);
    EXECUTE format('GRANT SELECT ON events_archive.%I TO hutong_app', wanted);
    UPDATE events.partition SET detached_at = at WHERE name = wanted;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION events.detach_partition(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION events.detach_partition(text, timestamptz) TO hutong_app;

-- The rows of a detached partition as JSON, each value as its text, so that it is kept to the byte.
CREATE FUNCTION events.archived_rows(wanted text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    columns text;
    ordered text;
BEGIN
    SELECT string_agg(format('%1$I::text AS %1$I', attname), ', ' ORDER BY attnum) INTO columns
    FROM pg_attribute
    WHERE attrelid = format('events_archive.%I', wanted)::regclass AND attnum > 0 AND NOT attisdropped;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place) INTO ordered
    FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = format('events_archive.%I', wanted)::regclass AND i.indisprimary;
    RETURN QUERY EXECUTE format(
        'SELECT row_to_json(r)::text FROM (SELECT %s FROM events_archive.%I t ORDER BY %s) r',
        columns, wanted, (SELECT string_agg('t.' || c, ', ') FROM unnest(string_to_array(ordered, ', ')) c)
    );
END
$$;
REVOKE ALL ON FUNCTION events.archived_rows(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION events.archived_rows(text) TO hutong_app;

-- Let go of a detached partition that a file holds now. Who says so must know how many rows there were.
CREATE FUNCTION events.drop_archived(wanted text, rows_written bigint, into_file text, at timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    it events.partition;
    found bigint;
BEGIN
    SELECT * INTO STRICT it FROM events.partition WHERE name = wanted AND detached_at IS NOT NULL FOR UPDATE;
    IF it.dropped_at IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT count(*) FROM events_archive.%I', wanted) INTO found;
    IF found <> rows_written THEN
        RAISE EXCEPTION 'events_archive.% has % rows and the file %', wanted, found, rows_written
            USING ERRCODE = 'check_violation';
    END IF;
    EXECUTE format('DROP TABLE events_archive.%I', wanted);
    UPDATE events.partition SET dropped_at = at, file = into_file, row_count = found WHERE name = wanted;
END
$$;
REVOKE ALL ON FUNCTION events.drop_archived(text, bigint, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION events.drop_archived(text, bigint, text, timestamptz) TO hutong_app;
