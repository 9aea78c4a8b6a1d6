-- name: archiving
-- The server's settings and counters of archiving, and the names of the segments that matter.
SELECT
    current_setting('archive_mode') AS archive_mode,
    current_setting('hutong.backup_folder', TRUE) AS folder,
    pg_walfile_name(pg_current_wal_lsn()) AS current_segment,
    s.last_archived_wal AS last_archived,
    coalesce(s.last_archived_time, pg_postmaster_start_time()) AS last_archived_at,
    s.last_failed_time AS last_failed_at,
    s.last_failed_time > coalesce(s.last_archived_time, '-infinity') AS is_failing,
    clock_timestamp() AS now
FROM pg_stat_archiver AS s;

-- name: mark_backup
-- Something to finish a segment for: an empty one is not archived.
SELECT pg_create_restore_point('hutong backup');

-- name: switch_segment
-- The segment in use is finished, so that it is archived.
SELECT pg_walfile_name(pg_switch_wal()) AS segment;
