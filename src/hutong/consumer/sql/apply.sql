-- name: pick_fresh
-- Messages that were never tried, many at once. The attempt is counted before it is made, so that one that kills the
-- process is known by it; until $3 nobody else takes them. They are chosen once, and updated by their place: chosen
-- again in a join, they would be more than the limit.
UPDATE consumer.inbox i SET attempts = 1, next_at = $3
WHERE i.ctid = ANY (ARRAY(
    SELECT f.ctid FROM consumer.inbox f
    WHERE f.consumer = $1 AND f.state = 'ready' AND f.attempts = 0 AND f.next_at <= $2
    ORDER BY f.next_at, f.stream, f.no
    LIMIT $4
    FOR UPDATE SKIP LOCKED
))
RETURNING i.ctid AS place, i.stream, i.no, i.attempts, i.corrects, i.hash, i.body;

-- name: pick_tried
-- One message that was tried before, alone: it may be the one that kills the process.
UPDATE consumer.inbox i SET attempts = i.attempts + 1, next_at = $3
WHERE i.ctid = ANY (ARRAY(
    SELECT f.ctid FROM consumer.inbox f
    WHERE f.consumer = $1 AND f.state = 'ready' AND f.attempts > 0 AND f.next_at <= $2
    ORDER BY f.next_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
))
RETURNING i.ctid AS place, i.stream, i.no, i.attempts, i.corrects, i.hash, i.body;

-- name: hold_picked
-- Those of the messages picked that nobody has touched since; then they stand where they stood. (An expression keeps the
-- plan off the index by consumer.)
SELECT i.stream, i.no, i.attempts, i.hash
FROM unnest($2::tid[]) AS p (place)
CROSS JOIN LATERAL (
    SELECT h.stream, h.no, h.attempts, h.hash FROM consumer.inbox h
    WHERE h.ctid = p.place AND h.consumer || '' = $1 AND h.state = 'ready'
    FOR UPDATE
) i;

-- name: finish
-- Done, in the transaction that did it and has held them since.
UPDATE consumer.inbox i
SET state = 'done', next_at = NULL, ended_at = $2, body = NULL, reason = NULL, corrects = false
WHERE i.ctid = ANY ($1::tid[]);

-- name: postpone
-- Tried again at $4. $6: the attempt does not count, for it failed by no fault of the message; that there was one does,
-- so that the next is made alone and holds up no other.
UPDATE consumer.inbox i
SET next_at = $4, reason = $5, attempts = CASE WHEN $6::boolean THEN greatest(1, i.attempts - 1) ELSE i.attempts END
FROM unnest($2::text[], $3::bigint[], $7::int[]) AS p (stream, no, attempts)
WHERE i.consumer = $1 AND i.stream = p.stream AND i.no = p.no AND i.attempts = p.attempts AND i.state = 'ready';

-- name: park
-- Left for a person; what comes later for the same object waits behind it.
UPDATE consumer.inbox i SET state = 'parked', next_at = NULL, reason = p.reason
FROM unnest($2::text[], $3::bigint[], $4::int[], $5::text[]) AS p (stream, no, attempts, reason)
WHERE i.consumer = $1 AND i.stream = p.stream AND i.no = p.no AND i.attempts = p.attempts AND i.state = 'ready'
RETURNING i.stream, i.no;
