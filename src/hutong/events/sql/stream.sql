-- name: claim_streams
-- Takes the streams in which there is something to tell, under a lease: no transaction stays open while a broker is
-- waited for. A stream that somebody is writing to this moment is left for the next turn.
UPDATE events.stream s SET lease_owner = $1, lease_until = $3
FROM (
    SELECT c.stream FROM events.stream c
    WHERE (c.lease_until IS NULL OR c.lease_until <= $2 OR c.lease_owner = $1)
        AND (c.published_no < c.last_no OR c.digested_at IS NULL OR c.digested_at <= $4)
    ORDER BY c.stream
    FOR UPDATE SKIP LOCKED
) due
WHERE s.stream = due.stream
RETURNING s.stream, s.last_no, s.published_no, s.digested_no, s.digested_at;

-- name: stream_entries
-- A range of a stream with its events, in order; what was archived is not there.
SELECT e.no, o.event_id, o.type, o.version, o.merchant_id, o.object_id, o.object_seq, o.data, o.created_at
FROM events.stream_entry e
JOIN events.outbox o ON o.event_id = e.event_id
WHERE e.stream = $1 AND e.no BETWEEN $2 AND $3
ORDER BY e.no;

-- name: mark_published
-- Only the holder of the lease moves it; one that was taken for dead moves nothing.
UPDATE events.stream SET published_no = $3 WHERE stream = $1 AND lease_owner = $2 AND published_no <= $3 RETURNING stream;

-- name: mark_digested
-- As above; the instant is noted also when nothing new was in it.
UPDATE events.stream SET digested_no = $3, digested_at = $4
WHERE stream = $1 AND lease_owner = $2 AND digested_no <= $3
RETURNING stream;

-- name: release_streams
-- Another relay need not wait for the end of a lease whose holder says that it cannot use it.
UPDATE events.stream SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = $1;

-- name: list_streams
-- How far each stream is, and since when its first unpublished event waits.
SELECT s.stream, s.last_no, s.published_no, s.digested_no, s.digested_at, waiting.created_at AS waiting_since
FROM events.stream s
LEFT JOIN LATERAL (
    SELECT o.created_at FROM events.stream_entry e JOIN events.outbox o ON o.event_id = e.event_id
    WHERE e.stream = s.stream AND e.no > s.published_no
    ORDER BY e.no LIMIT 1
) waiting ON true
ORDER BY s.stream;
