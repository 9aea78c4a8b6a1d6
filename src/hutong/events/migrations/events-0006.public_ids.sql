-- depends: events-0005.keep_streams

-- The id by which receivers know an event follows from what it is: an object's event of this number and type. When a
-- database is restored to an earlier time and the same happens again, it is told under the same id. It carries the zone at
-- the place of all ids. The key of the journal stays an id of the time, by which it is partitioned.
ALTER TABLE events.outbox ADD COLUMN public_id uuid;
CREATE INDEX outbox_public ON events.outbox (public_id) WHERE public_id IS NOT NULL;
COMMENT ON COLUMN events.outbox.public_id IS
    'NULL: recorded before these ids were derived, and known by event_id';

CREATE FUNCTION events.public_id(object_id uuid, object_seq bigint, type text, event_id uuid) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT encode(
            set_byte(set_byte(set_byte(h.digest,
                6, 128 | (get_byte(uuid_send(event_id), 6) & 15)),
                7, (get_byte(uuid_send(event_id), 7) & 240) | (get_byte(h.digest, 7) & 15)),
                8, 128 | (get_byte(h.digest, 8) & 63)),
            'hex')::uuid
        FROM (
            SELECT substring(sha256(uuid_send(object_id) || int8send(object_seq) || convert_to(type, 'UTF8')) FOR 16) AS digest
        ) AS h
    );

-- The detached table that has an event, by its public id.
CREATE FUNCTION events.archived_event(wanted uuid) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part events.partition;
    found_one boolean;
BEGIN
    FOR part IN SELECT * FROM events.partition
        WHERE parent = 'outbox' AND detached_at IS NOT NULL AND dropped_at IS NULL ORDER BY low_ms
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM events_archive.%I WHERE public_id = $1)', part.name)
            INTO found_one USING wanted;
        IF found_one THEN
            RETURN part.name;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION events.archived_event(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION events.archived_event(uuid) TO hutong_app;
