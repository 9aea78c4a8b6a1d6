-- name: pick_fresh
-- Messages without an attempt, many at once. The attempt is counted before it is made, so that a message that kills the
-- process is recognized by it. Until $3 nobody else picks them. They are chosen once, and updated by their place: chosen
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

-- name: pick_attempted
-- One message that was attempted before, alone: it may be the one that kills the process.
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
-- The picked messages that nobody has changed since; their rows are still in the same place. (An expression keeps the plan
-- off the index by consumer.)
SELECT i.stream, i.no, i.attempts, i.hash
FROM unnest($2::tid[]) AS p (place)
CROSS JOIN LATERAL (
    SELECT h.stream, h.no, h.attempts, h.hash FROM consumer.inbox h
    WHERE h.ctid = p.place AND h.consumer || '' = $1 AND h.state = 'ready'
    FOR UPDATE
) i;

-- name: finish
-- Mark messages as handled, in the transaction that handled them and has locked their rows since.
UPDATE consumer.inbox i
SET state = 'done', next_at = NULL, ended_at = $2, body = NULL, reason = NULL, corrects = false
WHERE i.ctid = ANY ($1::tid[]);

-- name: postpone
-- Have messages attempted again later. An uncounted attempt failed through no fault of the message; one attempt remains
-- counted, so that the next one is made alone and delays no other message.
UPDATE consumer.inbox i
SET next_at = :next_at, reason = :reason,
    attempts = CASE WHEN :uncounted::boolean THEN greatest(1, i.attempts - 1) ELSE i.attempts END
FROM unnest(:stream::text[], :no::bigint[], :attempts::int[]) AS p (stream, no, attempts)
WHERE i.consumer = :consumer AND i.stream = p.stream AND i.no = p.no AND i.attempts = p.attempts AND i.state = 'ready';

-- name: park
-- Leave messages to a person; later messages of the same object wait behind them.
UPDATE consumer.inbox i SET state = 'parked', next_at = NULL, reason = p.reason
FROM unnest($2::text[], $3::bigint[], $4::int[], $5::text[]) AS p (stream, no, attempts, reason)
WHERE i.consumer = $1 AND i.stream = p.stream AND i.no = p.no AND i.attempts = p.attempts AND i.state = 'ready'
RETURNING i.stream, i.no;
