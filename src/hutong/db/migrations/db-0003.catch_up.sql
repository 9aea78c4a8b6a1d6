-- depends: db-0002.cluster

-- The installation whose data this is, and a mark that rises every few seconds while the platform works. The mark is kept
-- outside the database as well: where it is higher, the database has gone back in time.
CREATE TABLE db.high_water (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    installation uuid NOT NULL DEFAULT gen_random_uuid(),
    mark bigint NOT NULL DEFAULT 0
);
INSERT INTO db.high_water DEFAULT VALUES;
GRANT SELECT, UPDATE (mark) ON db.high_water TO hutong_app;

-- Catch-up: the time from a restore until normal work begins. At most one is open.
CREATE TABLE db.catch_up (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch integer NOT NULL,
    reason text NOT NULL CHECK (reason IN ('cluster', 'high_water', 'backup', 'operator')),
    begun_at timestamptz NOT NULL,
    prepared_at timestamptz,
    finished_at timestamptz,
    finished_by text,
    finish_reason text,
    CHECK ((finished_at IS NULL) = (finish_reason IS NULL))
);
CREATE UNIQUE INDEX catch_up_open ON db.catch_up ((true)) WHERE finished_at IS NULL;
GRANT SELECT, UPDATE (prepared_at, finished_at, finished_by, finish_reason) ON db.catch_up TO hutong_app;

CREATE FUNCTION db.open_catch_up(reason text, epoch integer, begun_at timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE db.catch_up c SET finished_at = $3, finish_reason = 'restored again' WHERE c.finished_at IS NULL;
    INSERT INTO db.catch_up (epoch, reason, begun_at) VALUES ($2, $1, $3);
$$;
REVOKE ALL ON FUNCTION db.open_catch_up(text, integer, timestamptz) FROM PUBLIC;

-- A restore into the same cluster, or one that an operator names, begins an epoch as well.
CREATE FUNCTION db.begin_catch_up(reason text, begun_at timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new_epoch integer;
BEGIN
    UPDATE db.cluster c SET epoch = c.epoch + 1 RETURNING c.epoch INTO new_epoch;
    PERFORM db.open_catch_up(reason, new_epoch, begun_at);
    RETURN new_epoch;
END
$$;
REVOKE ALL ON FUNCTION db.begin_catch_up(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION db.begin_catch_up(text, timestamptz) TO hutong_app;

-- A database that was brought into another cluster may have been restored to an earlier time.
CREATE FUNCTION db.catch_up_in_new_cluster() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM db.open_catch_up('cluster', NEW.epoch, clock_timestamp());
    RETURN NULL;
END
$$;
CREATE TRIGGER cluster_adopted AFTER UPDATE OF system_identifier ON db.cluster
    FOR EACH ROW WHEN (NEW.epoch > OLD.epoch)
    EXECUTE FUNCTION db.catch_up_in_new_cluster();
