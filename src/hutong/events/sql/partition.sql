-- name: lock_partitions
-- One process at a time makes partitions; who waits finds them made, or goes on where a process was killed.
SELECT pg_advisory_xact_lock(x'6576656e7473'::bigint);

-- name: try_lock_partitions
-- One process at a time detaches partitions; the others need not wait.
SELECT pg_try_advisory_xact_lock(x'6576656e7473'::bigint) AS ours;

-- name: partitioned_tables
-- The tables that are partitioned by time, the outbox first, since the rows that refer to it follow it into the archive.
SELECT c.relname AS name FROM pg_class c
WHERE c.relkind = 'p' AND c.relnamespace = 'events'::regnamespace
ORDER BY c.relname <> 'outbox', c.relname;

-- name: partitions_of
-- A table's partitions, oldest first, with the number of rows inserted into each.
SELECT p.name, p.low_ms, p.high_ms, p.detached_at,
    coalesce(pg_stat_get_tuples_inserted(to_regclass('events.' || p.name)), 0) AS inserted
FROM events.partition p WHERE p.parent = $1 ORDER BY p.low_ms;

-- name: begin_partitions
-- Start to partition a table by time.
SELECT events.begin_partitions($1, $2) AS name;

-- name: add_partition
-- Add one partition, for ids of these milliseconds.
SELECT events.add_partition($1, $2, $3) AS name;

-- name: held_by_streams
-- Whether a partition's events still need their numbers, or to be published.
SELECT events.told($1, $2) AS held_by;

-- name: held_by_references
-- The rows that refer to a partition, checked before its table is locked, so that one that stays for days is not locked in
-- vain.
SELECT CASE
    WHEN p.parent <> 'outbox' AND EXISTS (
        SELECT FROM events.partition o
        WHERE o.parent = 'outbox' AND o.detached_at IS NULL AND o.low_ms < p.high_ms AND o.high_ms > p.low_ms
    ) THEN 'events_not_archived'
    WHEN p.parent IN ('outbox', 'delivery') AND EXISTS (
        SELECT FROM events.delivery d
        WHERE d.state = 'pending' AND d.event_id >= events.first_id(p.low_ms) AND d.event_id < events.first_id(p.high_ms)
    ) THEN 'deliveries_pending'
END AS held_by
FROM events.partition p WHERE p.name = $1;

-- name: skip_publishing
-- Without a broker, archived events count as published: a broker that is configured later begins after them.
WITH archived AS (
    SELECT e.stream, max(e.no) AS no
    FROM events.partition p
    JOIN events.stream_entry e ON e.event_id >= events.first_id(p.low_ms) AND e.event_id < events.first_id(p.high_ms)
    WHERE p.name = $1
    GROUP BY e.stream
),
held AS (
    SELECT s.stream, g.no FROM events.stream s JOIN archived g ON g.stream = s.stream
    WHERE s.published_no < g.no ORDER BY s.stream FOR UPDATE OF s
)
UPDATE events.stream s SET published_no = h.no, digested_no = greatest(s.digested_no, h.no)
FROM held h WHERE s.stream = h.stream;

-- name: detach_partition
-- Detach a partition, or return what holds it.
SELECT events.detach_partition($1, $2) AS held_by;

-- name: detached_partitions
-- The detached partitions that are not yet in files, oldest first.
SELECT p.name, p.parent, p.low_ms, p.high_ms FROM events.partition p
WHERE p.detached_at IS NOT NULL AND p.dropped_at IS NULL ORDER BY p.low_ms, p.name;

-- name: archived_columns
-- The columns of a detached partition and their types, in order.
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type FROM pg_attribute a
WHERE a.attrelid = to_regclass('events_archive.' || quote_ident($1)) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: archived_rows
-- All rows of a detached partition, in order of its key.
SELECT r.line FROM events.archived_rows($1) AS r (line);

-- name: drop_archived
-- Drop a detached partition that is in a file now.
SELECT events.drop_archived($1, $2, $3, $4);

-- name: archive_of
-- The part of the archive that has the events of a millisecond, if they are archived.
SELECT p.name, p.file FROM events.partition p
WHERE p.parent = 'outbox' AND p.detached_at IS NOT NULL AND p.low_ms <= $1 AND p.high_ms > $1;

-- name: archived_event
-- The detached table that has the event of this public id.
SELECT events.archived_event($1);

-- name: archive_files
-- The files of the archive that hold events, newest first.
SELECT p.file FROM events.partition p WHERE p.parent = 'outbox' AND p.file IS NOT NULL ORDER BY p.low_ms DESC;

-- name: archived_until
-- The first millisecond whose events are still in the database.
SELECT max(p.high_ms) AS high_ms FROM events.partition p WHERE p.parent = 'outbox' AND p.detached_at IS NOT NULL;
