-- name: list_parked
-- What waits for a person, oldest first, with how much waits behind each.
SELECT i.consumer, i.stream, i.no, i.event_id, i.type, i.object_id, i.object_seq, i.attempts, i.reason, i.received_at,
    (
        SELECT count(*) FROM consumer.inbox b
        WHERE b.consumer = i.consumer AND b.stream = i.stream AND b.object_id = i.object_id
            AND b.state IN ('waiting', 'ready', 'parked') AND b.object_seq > i.object_seq
    ) AS behind
FROM consumer.inbox i
WHERE i.state = 'parked' AND ($1::text IS NULL OR i.consumer = $1)
ORDER BY i.consumer, i.stream, i.no
LIMIT $2;

-- name: list_rejects
-- What could not be read, oldest first.
SELECT r.consumer, r.hash, r.reason, r.times, r.received_at, length(r.body) AS size
FROM consumer.reject r
WHERE r.dropped_at IS NULL AND ($1::text IS NULL OR r.consumer = $1)
ORDER BY r.received_at, r.hash
LIMIT $2;

-- name: retry_parked
-- Tried again from the start, as if it had just come.
UPDATE consumer.inbox i SET state = 'waiting', attempts = 0
FROM unnest($2::text[], $3::bigint[]) AS p (stream, no)
WHERE i.consumer = $1 AND i.stream = p.stream AND i.no = p.no AND i.state = 'parked'
RETURNING i.stream, i.no, i.object_id;

-- name: drop_parked
-- Never done; the row says so and why. What stood behind it goes on.
UPDATE consumer.inbox i SET state = 'dropped', ended_at = $4, reason = concat_ws('; ', $5::text, i.reason)
FROM unnest($2::text[], $3::bigint[]) AS p (stream, no)
WHERE i.consumer = $1 AND i.stream = p.stream AND i.no = p.no AND i.state = 'parked'
RETURNING i.stream, i.no, i.object_id;

-- name: take_rejects
-- Read again: taken out, so that what can still not be read comes back as new.
DELETE FROM consumer.reject r
WHERE r.consumer = $1 AND r.hash = ANY ($2::bytea[]) AND r.dropped_at IS NULL
RETURNING r.hash, r.body;

-- name: drop_rejects
-- Kept without being shown, so that it is still known when it comes again.
UPDATE consumer.reject r SET dropped_at = $3, reason = concat_ws('; ', $4::text, r.reason)
WHERE r.consumer = $1 AND r.hash = ANY ($2::bytea[]) AND r.dropped_at IS NULL
RETURNING r.hash;

-- name: watermarks
-- Per stream what is known of it: up to `done_no` everything is done.
SELECT s.consumer, s.stream, s.first_no, s.last_no, s.seen_no, s.tidied_no,
    least(
        s.seen_no,
        coalesce(
            (
                SELECT min(i.no) - 1 FROM consumer.inbox i
                WHERE i.consumer = s.consumer AND i.stream = s.stream AND i.state IN ('waiting', 'ready', 'parked')
            ),
            s.seen_no
        )
    ) AS done_no,
    (
        SELECT count(*) FROM consumer.inbox i
        WHERE i.consumer = s.consumer AND i.stream = s.stream AND i.state IN ('waiting', 'ready')
    ) AS waiting,
    (
        SELECT count(*) FROM consumer.inbox i
        WHERE i.consumer = s.consumer AND i.stream = s.stream AND i.state = 'parked'
    ) AS parked,
    (
        SELECT coalesce(sum(g.to_no - g.from_no + 1) FILTER (WHERE g.lost_at IS NULL), 0)::bigint FROM consumer.gap g
        WHERE g.consumer = s.consumer AND g.stream = s.stream
    ) AS missing,
    (
        SELECT coalesce(sum(g.to_no - g.from_no + 1) FILTER (WHERE g.lost_at IS NOT NULL), 0)::bigint
        FROM consumer.gap g
        WHERE g.consumer = s.consumer AND g.stream = s.stream
    ) AS lost
FROM consumer.stream s
WHERE $1::text IS NULL OR s.consumer = $1
ORDER BY s.consumer, s.stream;

-- name: tidy
-- Deletes what was done before $3, up to the first number of which that is not so; numbers up to there are duplicates from
-- then on. What was dropped stays, as a record.
WITH bound AS (
    SELECT w.stream, coalesce(
        (
            SELECT min(i.no) - 1 FROM consumer.inbox i
            WHERE i.consumer = $1 AND i.stream = w.stream AND i.no > w.tidied_no AND i.no <= w.done_no
                AND i.ended_at > $3
        ),
        w.done_no
    ) AS up_to
    FROM unnest($2::text[], $4::bigint[], $5::bigint[]) AS w (stream, tidied_no, done_no)
),
moved AS (
    UPDATE consumer.stream s SET tidied_no = b.up_to
    FROM bound b
    WHERE s.consumer = $1 AND s.stream = b.stream AND b.up_to > s.tidied_no
    RETURNING s.stream, s.tidied_no
)
DELETE FROM consumer.inbox i
USING moved m
WHERE i.consumer = $1 AND i.stream = m.stream AND i.no <= m.tidied_no AND i.state = 'done';
