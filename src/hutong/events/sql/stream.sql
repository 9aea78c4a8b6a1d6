-- name: claim_streams
-- Claim the streams that have something to publish, under a lease: no transaction stays open while a broker is awaited.
-- A stream that is being written at this moment is left for the next pass.
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
-- A range of a stream with its events, in order, without archived ones.
SELECT e.no, {o.event}
FROM events.stream_entry e
JOIN events.outbox o ON o.event_id = e.event_id
WHERE e.stream = $1 AND e.no BETWEEN $2 AND $3
ORDER BY e.no;

-- name: mark_published
-- Only the holder of the lease moves the number; a relay whose lease has expired moves nothing.
UPDATE events.stream SET published_no = $3 WHERE stream = $1 AND lease_owner = $2 AND published_no <= $3 RETURNING stream;

-- name: mark_digested
-- As above. The instant is recorded even if the digest covers nothing new.
UPDATE events.stream SET digested_no = $3, digested_at = $4
WHERE stream = $1 AND lease_owner = $2 AND digested_no <= $3
RETURNING stream;

-- name: release_streams
-- Release the leases of a relay that cannot use them, so that another relay need not wait for their end.
UPDATE events.stream SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = $1;

-- name: make_streams_due
-- No lease lasts longer than one taken now, and no digest was published in the future.
UPDATE events.stream
SET lease_owner = CASE WHEN lease_until <= :leases_end THEN lease_owner END,
    lease_until = CASE WHEN lease_until <= :leases_end THEN lease_until END,
    digested_at = least(digested_at, :now::timestamptz)
WHERE lease_until > :leases_end::timestamptz OR digested_at > :now;

-- name: list_streams
-- The progress of each stream, and the instant since when its first unpublished event has been waiting.
SELECT s.stream, s.last_no, s.published_no, s.digested_no, s.digested_at, waiting.created_at AS waiting_since
FROM events.stream s
LEFT JOIN LATERAL (
    SELECT o.created_at FROM events.stream_entry e JOIN events.outbox o ON o.event_id = e.event_id
    WHERE e.stream = s.stream AND e.no > s.published_no
    ORDER BY e.no LIMIT 1
) waiting ON true
ORDER BY s.stream;
