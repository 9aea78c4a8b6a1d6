-- depends: events-0006.public_ids db-0002.cluster

-- The name of the stream that events get their numbers in. Each epoch of the database has streams of its own, so that
-- after a restore no number is given to another event than before; the first epoch's have no mark of it.
CREATE FUNCTION events.stream_of(source text, type text, zone integer) RETURNS text LANGUAGE sql STABLE
    RETURN concat(source, '.', split_part(type, '.', 1), '.', zone,
        (SELECT '-' || c.epoch FROM db.cluster AS c WHERE c.epoch > 1));
