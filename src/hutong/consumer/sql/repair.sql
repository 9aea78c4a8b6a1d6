-- name: streams_with_due_gaps
-- Streams with gaps that are due.
SELECT DISTINCT g.stream FROM consumer.gap g
WHERE g.consumer = $1 AND g.next_at <= $2 AND g.lost_at IS NULL
ORDER BY g.stream;

-- name: due_gaps
-- Gaps that are due, short ones first: they are recent, and messages wait for them. `awaited` is how many numbers of the
-- stream were requested lately and have not arrived; those requested more than $4 times in vain do not count.
SELECT g.stream, g.from_no, g.to_no, g.found_at, g.asked, (
    SELECT coalesce(sum(w.to_no - w.from_no + 1), 0)::bigint FROM consumer.gap w
    WHERE w.consumer = $1 AND w.stream = g.stream AND w.asked BETWEEN 1 AND $4 AND w.lost_at IS NULL
) AS awaited
FROM consumer.gap g
WHERE g.consumer = $1 AND g.stream = ANY ($3::text[]) AND g.next_at <= $2 AND g.lost_at IS NULL
ORDER BY g.stream, g.asked = 0, g.to_no - g.from_no, g.from_no
LIMIT $5;

-- name: mark_asked
-- Record a request up to `to_no`; the rest of a long gap becomes a gap of its own.
UPDATE consumer.gap g SET asked = g.asked + 1, next_at = a.next_at, to_no = a.to_no
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[]) AS a (stream, from_no, to_no, next_at)
WHERE g.consumer = $1 AND g.stream = a.stream AND g.from_no = a.from_no;

-- name: streams_to_give_up
-- Streams with numbers that have been missing for too long.
SELECT DISTINCT g.stream FROM consumer.gap g
WHERE g.consumer = $1 AND g.lost_at IS NULL AND g.found_at <= $2
ORDER BY g.stream;

-- name: give_up
-- Give up numbers, so that nothing waits for them any longer.
UPDATE consumer.gap g SET lost_at = $3
WHERE g.consumer = $1 AND g.lost_at IS NULL AND g.found_at <= $2 AND g.stream = ANY ($4::text[])
RETURNING g.stream, g.from_no, g.to_no;

-- name: due_digests
-- Reports of the source beside the received messages, for ranges not yet known to be equal. A range that was tidied or given
-- up in part cannot be compared any longer.
WITH d AS MATERIALIZED (
    SELECT e.stream, e.from_no, e.to_no, e.hash, e.asked FROM consumer.digest e
    WHERE e.consumer = $1 AND e.next_at <= $2
    ORDER BY e.next_at, e.stream, e.from_no, e.to_no
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
SELECT d.stream, d.from_no, d.to_no, d.hash, d.asked, o.count, o.hash AS ours,
    d.from_no < s.first_no OR d.from_no <= s.tidied_no OR EXISTS (
        SELECT FROM consumer.gap g
        WHERE g.consumer = $1 AND g.stream = d.stream AND g.from_no <= d.to_no AND g.to_no >= d.from_no
            AND g.lost_at IS NOT NULL
    ) AS gone
FROM d
JOIN consumer.stream s ON s.consumer = $1 AND s.stream = d.stream
CROSS JOIN LATERAL (
    SELECT count(*) AS count, sha256(string_agg(i.hash, ''::bytea ORDER BY i.no)) AS hash
    FROM consumer.inbox i
    WHERE i.consumer = $1 AND i.stream = d.stream AND i.no BETWEEN d.from_no AND d.to_no
) o;

-- name: delete_digests
-- Delete reports on ranges that are equal.
DELETE FROM consumer.digest d
USING unnest($2::text[], $3::bigint[], $4::bigint[]) AS c (stream, from_no, to_no)
WHERE d.consumer = $1 AND d.stream = c.stream AND d.from_no = c.from_no AND d.to_no = c.to_no;

-- name: wait_for_digests
-- Compare again later; $5 marks the ranges for which the source is asked now.
UPDATE consumer.digest d
SET next_at = $6::timestamptz + make_interval(secs => least($8::float8, $7::float8 * 2 ^ least(d.asked, 30))),
    asked = d.asked + c.asking::int
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::boolean[]) AS c (stream, from_no, to_no, asking)
WHERE d.consumer = $1 AND d.stream = c.stream AND d.from_no = c.from_no AND d.to_no = c.to_no;
