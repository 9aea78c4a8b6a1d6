-- The role that the application works under: it owns nothing, so it can neither change tables nor rewrite journals.

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'hutong_app') THEN
        CREATE ROLE hutong_app NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database of this server was set up at the same moment
END
$$;

DO $$
DECLARE
    -- Since PostgreSQL 16 a member may have the right to hand a role on without the right to take it.
    needed CONSTANT text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT pg_has_role(current_user, 'hutong_app', needed) THEN
        GRANT hutong_app TO CURRENT_USER;
    END IF;
EXCEPTION
    WHEN unique_violation THEN
        NULL; -- as above
END
$$;
