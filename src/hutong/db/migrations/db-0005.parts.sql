-- depends: db-0004.lost_time

-- A role for each part of the platform. `hutong_app` keeps what all of them need; each of these inherits it, and packages
-- grant the rest to the part that needs it. The role of commands can do what the others can, and what people alone decide.
DO $$
DECLARE
    part text;
BEGIN
    FOREACH part IN ARRAY ARRAY['hutong_api', 'hutong_worker', 'hutong_console'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = part) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', part);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this server was set up at the same moment
        END;
    END LOOP;
END
$$;

DO $$
DECLARE
    -- Since PostgreSQL 16 a member may have the right to hand a role on without the right to take it.
    needed CONSTANT text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    part text;
    held record;
BEGIN
    FOR held IN SELECT * FROM (VALUES
        ('hutong_app', 'hutong_api'), ('hutong_app', 'hutong_worker'),
        ('hutong_api', 'hutong_console'), ('hutong_worker', 'hutong_console')
    ) AS h (role, part) LOOP
        BEGIN
            IF NOT pg_has_role(held.part, held.role, 'USAGE') THEN
                EXECUTE format('GRANT %I TO %I', held.role, held.part);
            END IF;
        EXCEPTION
            WHEN unique_violation THEN
                NULL; -- as above
        END;
    END LOOP;
    FOREACH part IN ARRAY ARRAY['hutong_api', 'hutong_worker', 'hutong_console'] LOOP
        BEGIN
            IF NOT pg_has_role(current_user, part, needed) THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', part);
            END IF;
        EXCEPTION
            WHEN unique_violation THEN
                NULL; -- as above
        END;
    END LOOP;
END
$$;

-- The public form of an id, as `hutong.ids.encode` writes it.
CREATE FUNCTION db.type_id(prefix text, id uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN prefix || '_' || (
        SELECT string_agg(
            substr('0123456789abcdefghjkmnpqrstvwxyz', substr(b.bits, i * 5 + 1, 5)::bit(5)::integer + 1, 1), '' ORDER BY i)
        FROM (SELECT '00' || ('x' || replace(id::text, '-', ''))::bit(128)::text AS bits) AS b, generate_series(0, 25) AS i
    );
