-- depends: db-0001.role

CREATE SCHEMA db;
GRANT USAGE ON SCHEMA db TO hutong_app;

-- The cluster that the database lives in, how many clusters it has lived in, and what is added to this cluster's
-- transaction numbers, so that the sum rises through all of them.
CREATE TABLE db.cluster (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    system_identifier bigint NOT NULL,
    epoch integer NOT NULL DEFAULT 1 CHECK (epoch > 0),
    xact_offset bigint NOT NULL DEFAULT 0 CHECK (xact_offset >= 0)
);
INSERT INTO db.cluster (system_identifier) SELECT system_identifier FROM pg_control_system();
GRANT SELECT ON db.cluster TO hutong_app;

-- Functions without parameters, one of each package that keeps such sums: the highest that it keeps.
CREATE TABLE db.xact_keeper (
    function_name text PRIMARY KEY CHECK (function_name ~ '^[a-z_]+[.][a-z_]+$')
);

-- What to add to a transaction number of this cluster before it is kept or compared with one that is kept. In a cluster
-- that the database does not know yet the sum means nothing, so there is none.
CREATE FUNCTION db.xact_offset() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    found_offset bigint;
BEGIN
    SELECT c.xact_offset INTO found_offset FROM db.cluster c
    WHERE c.system_identifier = (SELECT s.system_identifier FROM pg_control_system() s);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this database comes from another cluster and was not opened by Hutong since'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run `hutong migrate`, and connect again.';
    END IF;
    RETURN found_offset;
END
$$;

-- The highest number that any package keeps.
CREATE FUNCTION db.highest_xact() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    keeper text;
    kept bigint;
    highest bigint := 0;
BEGIN
    FOR keeper IN SELECT k.function_name FROM db.xact_keeper k LOOP
        EXECUTE 'SELECT ' || keeper || '()' INTO kept;
        highest := greatest(highest, kept);
    END LOOP;
    RETURN highest;
END
$$;
REVOKE ALL ON FUNCTION db.highest_xact() FROM PUBLIC;

-- Adopt the cluster if the database came from another one, or if the counter is behind what is kept (a clone of a
-- cluster has its identity, and goes its own way): every number from now on is higher than every number kept. Returns the
-- new epoch, or nothing if the cluster is known. What is kept is read before the counter, so that transactions that
-- commit in between change nothing.
CREATE FUNCTION db.adopt_cluster() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here bigint := (SELECT s.system_identifier FROM pg_control_system() s);
    known db.cluster;
    highest bigint := db.highest_xact();
BEGIN
    SELECT c.* INTO STRICT known FROM db.cluster c;
    IF known.system_identifier = here
        AND highest <= known.xact_offset + pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN NULL;
    END IF;
    SELECT c.* INTO STRICT known FROM db.cluster c FOR UPDATE;
    highest := db.highest_xact();
    IF known.system_identifier = here
        AND highest <= known.xact_offset + pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN NULL; -- another connection was faster
    END IF;
    UPDATE db.cluster c SET system_identifier = here, epoch = c.epoch + 1,
        xact_offset = greatest(c.xact_offset, highest + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
    RETURNING c.* INTO known;
    RETURN known.epoch;
END
$$;
REVOKE ALL ON FUNCTION db.adopt_cluster() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION db.adopt_cluster() TO hutong_app;
