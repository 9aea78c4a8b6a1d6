-- name: list_streams
-- The streams there are and the last number of each.
SELECT stream, last_no FROM events.stream ORDER BY stream;

-- name: read_stream
-- What comes next in a stream. Numbers are given in one transaction without a gap, so what is seen is all there is.
SELECT s.no, o.event_id, o.type, o.version, o.merchant_id, o.object_id, o.object_seq, o.data, o.created_at
FROM events.stream_entry AS s
JOIN events.outbox AS o ON o.event_id = s.event_id
WHERE s.stream = $1 AND s.no > $2 AND s.no <= $2 + $3
ORDER BY s.no;

-- name: object_versions
-- The number of each object's last event.
SELECT object_id, last_seq FROM events.object WHERE object_id = ANY ($1::uuid []);
