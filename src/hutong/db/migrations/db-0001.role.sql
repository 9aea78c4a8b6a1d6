-- The role that the application works under: it owns nothing, so it can neither change tables nor rewrite journals.

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'hutong_app') THEN
        CREATE ROLE hutong_app NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database of this server was set up at the same moment
END
$$;

GRANT hutong_app TO CURRENT_USER;
