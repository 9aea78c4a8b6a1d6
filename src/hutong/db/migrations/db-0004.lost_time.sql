-- depends: db-0003.catch_up

-- When the worker of each data folder last raised the mark: what it wrote until then a restored database still has.
CREATE TABLE db.machine (
    machine_id uuid PRIMARY KEY,
    raised_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON db.machine TO hutong_app;

-- The lost time begins here at the earliest. NULL is unknown: only an operator can end such a catch-up.
ALTER TABLE db.catch_up ADD COLUMN lost_since timestamptz;

DROP FUNCTION db.begin_catch_up(text, timestamptz);
DROP FUNCTION db.open_catch_up(text, integer, timestamptz);

CREATE FUNCTION db.open_catch_up(reason text, epoch integer, begun_at timestamptz, lost_since timestamptz)
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    earlier timestamptz;
    since timestamptz := lost_since;
BEGIN
    UPDATE db.catch_up c SET finished_at = $3, finish_reason = 'restored again' WHERE c.finished_at IS NULL
        RETURNING c.lost_since INTO earlier;
    -- What the open one covered, this one covers too. An operator's word stands.
    IF FOUND AND reason <> 'operator' THEN
        since := CASE WHEN earlier IS NOT NULL AND since IS NOT NULL THEN least(earlier, since) END;
    END IF;
    INSERT INTO db.catch_up (epoch, reason, begun_at, lost_since) VALUES ($2, $1, $3, since);
END
$$;
REVOKE ALL ON FUNCTION db.open_catch_up(text, integer, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION db.begin_catch_up(reason text, begun_at timestamptz, lost_since timestamptz DEFAULT NULL)
    RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new_epoch integer;
BEGIN
    UPDATE db.cluster c SET epoch = c.epoch + 1 RETURNING c.epoch INTO new_epoch;
    PERFORM db.open_catch_up(reason, new_epoch, begun_at, lost_since);
    RETURN new_epoch;
END
$$;
REVOKE ALL ON FUNCTION db.begin_catch_up(text, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION db.begin_catch_up(text, timestamptz, timestamptz) TO hutong_app;

-- The first connection to another cluster notices it, so that nobody has raised a mark after the restore.
CREATE OR REPLACE FUNCTION db.catch_up_in_new_cluster() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM db.open_catch_up('cluster', NEW.epoch, clock_timestamp(), (SELECT max(m.raised_at) FROM db.machine m));
    RETURN NULL;
END
$$;
