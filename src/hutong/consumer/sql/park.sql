-- name: list_parked
-- Parked messages, oldest first, each with the number of messages that wait behind it.
SELECT i.consumer, i.stream, i.no, i.event_id, i.type, i.object_id, i.object_seq, i.attempts, i.reason, i.received_at,
    (
        SELECT count(*) FROM consumer.inbox b
        WHERE b.consumer = i.consumer AND b.object_id = i.object_id
            AND regexp_replace(b.stream, '-[0-9]+$', '') = regexp_replace(i.stream, '-[0-9]+$', '')
            AND b.state IN ('waiting', 'ready', 'parked') AND b.object_seq > i.object_seq
    ) AS behind
FROM consumer.inbox i
WHERE i.state = 'parked' AND ($1::text IS NULL OR i.consumer = $1)
ORDER BY i.consumer, i.stream, i.no
LIMIT $2;

-- name: list_rejects
-- Unreadable messages, oldest first.
SELECT r.consumer, r.hash, r.reason, r.times, r.received_at, length(r.body) AS size
FROM consumer.reject r
WHERE r.dropped_at IS NULL AND ($1::text IS NULL OR r.consumer = $1)
ORDER BY r.received_at, r.hash
LIMIT $2;

-- name: retry_parked
-- Handle parked messages again, as if they had just arrived.
UPDATE consumer.inbox i SET state = 'waiting', attempts = 0
FROM unnest($2::text[], $3::bigint[]) AS p (stream, no)
WHERE i.consumer = $1 AND i.stream = p.stream AND i.no = p.no AND i.state = 'parked'
RETURNING i.stream, i.no, i.object_id;

-- name: drop_parked
-- Drop parked messages for good, with the reason. The messages behind them continue.
UPDATE consumer.inbox i SET state = 'dropped', ended_at = $4, reason = concat_ws('; ', $5::text, i.reason)
FROM unnest($2::text[], $3::bigint[]) AS p (stream, no)
WHERE i.consumer = $1 AND i.stream = p.stream AND i.no = p.no AND i.state = 'parked'
RETURNING i.stream, i.no, i.object_id;

-- name: take_rejects
-- Take unreadable messages out to read them again; those that still cannot be read come back as new.
DELETE FROM consumer.reject r
WHERE r.consumer = $1 AND r.hash = ANY ($2::bytea[]) AND r.dropped_at IS NULL
RETURNING r.hash, r.body;

-- name: drop_rejects
-- Hide unreadable messages, but keep them, so that repetitions are recognized.
UPDATE consumer.reject r SET dropped_at = $3, reason = concat_ws('; ', $4::text, r.reason)
WHERE r.consumer = $1 AND r.hash = ANY ($2::bytea[]) AND r.dropped_at IS NULL
RETURNING r.hash;

-- name: watermarks
-- The progress in each stream: up to `done_no` every message is handled.
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
-- Delete messages handled before $3, up to the first one that is not; numbers up to there are duplicates from then on.
-- Dropped messages stay, as a record.
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
