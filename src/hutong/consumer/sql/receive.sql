-- name: keep_to_indexes
-- A plan made while the inbox is small reads all of it, and is kept while it grows. For the rest of this transaction no
-- plan is made that does; it is never said before a handler, whose plans are its own.
SELECT set_config('enable_seqscan', 'off', true);

-- name: open_streams
-- A stream met for the first time.
INSERT INTO consumer.stream (consumer, stream, first_no, last_no, seen_no, tidied_no)
SELECT $1, s.stream, s.first_no, s.first_no - 1, s.first_no - 1, s.first_no - 1
FROM unnest($2::text[], $3::bigint[]) AS s (stream, first_no)
ORDER BY s.stream
ON CONFLICT DO NOTHING;

-- name: lock_streams
-- Whoever changes what is known of a stream holds its row; in sorted order, so that two never wait for each other.
SELECT s.stream, s.first_no, s.last_no, s.seen_no, s.tidied_no
FROM consumer.stream s
WHERE s.consumer = $1 AND s.stream = ANY ($2::text[])
ORDER BY s.stream
FOR NO KEY UPDATE;

-- name: insert_messages
-- A message that is there already is not inserted, and so not returned.
INSERT INTO consumer.inbox (consumer, stream, no, event_id, type, object_id, object_seq, hash, body, received_at)
SELECT $1, m.stream, m.no, m.event_id, m.type, m.object_id, m.object_seq, m.hash, m.body, $2
FROM unnest(
    $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bytea[], $10::bytea[]
) AS m (stream, no, event_id, type, object_id, object_seq, hash, body)
ON CONFLICT DO NOTHING
RETURNING stream, no;

-- name: differing
-- Of repeated messages those that are not what was received first, and whether the source has said that they are right:
-- a digest of that number alone.
SELECT m.stream, m.no, i.object_id, coalesce(d.hash = sha256(m.hash), false) AS right
FROM unnest($2::text[], $3::bigint[], $4::bytea[]) AS m (stream, no, hash)
CROSS JOIN LATERAL (
    SELECT b.hash, b.object_id FROM consumer.inbox b
    WHERE b.consumer = $1 AND b.stream = m.stream AND b.no = m.no
    LIMIT 1
) i
LEFT JOIN consumer.digest d ON d.consumer = $1 AND d.stream = m.stream AND d.from_no = m.no AND d.to_no = m.no
WHERE i.hash <> m.hash;

-- name: correct_messages
-- The right message takes the wrong one's place. What was done with the wrong one is done again with the right one.
UPDATE consumer.inbox i
SET hash = m.hash, body = m.body, event_id = m.event_id, type = m.type, object_id = m.object_id,
    object_seq = m.object_seq, state = 'waiting', attempts = 0, next_at = NULL, ended_at = NULL, reason = NULL,
    corrects = i.corrects OR i.state = 'done'
FROM unnest(
    $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bytea[], $9::bytea[]
) AS m (stream, no, event_id, type, object_id, object_seq, hash, body)
WHERE i.consumer = $1 AND i.stream = m.stream AND i.no = m.no;

-- name: gaps_of_streams
-- All that is missing, in order.
SELECT g.stream, g.from_no, g.to_no, g.found_at, g.lost_at, g.asked
FROM consumer.gap g
WHERE g.consumer = $1 AND g.stream = ANY ($2::text[])
ORDER BY g.stream, g.from_no;

-- name: delete_gaps
-- Gaps that were closed, or of which a part was.
DELETE FROM consumer.gap g
USING unnest($2::text[], $3::bigint[]) AS c (stream, from_no)
WHERE g.consumer = $1 AND g.stream = c.stream AND g.from_no = c.from_no;

-- name: insert_gaps
-- New gaps, and what is left of others. They are asked for after a while in which nothing of them came.
INSERT INTO consumer.gap (consumer, stream, from_no, to_no, found_at, lost_at, asked, next_at)
SELECT $1, g.stream, g.from_no, g.to_no, g.found_at, g.lost_at, g.asked, g.next_at
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::int[], $8::timestamptz[])
    AS g (stream, from_no, to_no, found_at, lost_at, asked, next_at);

-- name: settle_streams
-- What is known of the streams after a batch; what is missing for good is not waited for.
UPDATE consumer.stream s
SET last_no = k.last_no,
    seen_no = coalesce(
        (
            SELECT min(g.from_no) - 1 FROM consumer.gap g
            WHERE g.consumer = $1 AND g.stream = s.stream AND g.lost_at IS NULL
        ),
        k.last_no
    )
FROM unnest($2::text[], $3::bigint[]) AS k (stream, last_no)
WHERE s.consumer = $1 AND s.stream = k.stream
RETURNING s.stream, s.seen_no;

-- name: park_late
-- What was given up for lost and comes after all, when later messages of its object are done: a person has to look.
UPDATE consumer.inbox i SET state = 'parked', reason = 'came after later messages of its object'
FROM unnest($2::text[], $3::bigint[]) AS m (stream, no)
WHERE i.consumer = $1 AND i.stream = m.stream AND i.no = m.no AND EXISTS (
    SELECT FROM consumer.inbox d
    WHERE d.consumer = $1 AND d.stream = i.stream AND d.object_id = i.object_id AND d.object_seq > i.object_seq
        AND d.state = 'done'
);

-- name: promote
-- The first message of an object that is not done is ready as soon as nothing can come before it: its predecessor is
-- done, or there is none, or no number below it is missing. $2 and $3 the objects something happened to, $4 to $6 the
-- streams of which nothing is missing up to a higher number than before. While the planner knows nothing of the table it
-- takes any index for as good as any other: an expression (|| '') keeps it off those that do not fit, and rows are
-- updated by their place.
UPDATE consumer.inbox i SET state = 'ready', next_at = $7
WHERE i.ctid = ANY (ARRAY(
    SELECT head.place
    FROM (
        SELECT u.stream, u.object_id FROM unnest($2::text[], $3::text[]) AS u (stream, object_id)
        UNION
        SELECT a.stream, a.object_id
        FROM unnest($4::text[], $5::bigint[], $6::bigint[]) AS s (stream, before, after)
        CROSS JOIN LATERAL (
            SELECT w.stream, w.object_id FROM consumer.inbox w
            WHERE w.consumer = $1 AND w.stream = s.stream AND w.no > s.before AND w.no <= s.after
                AND w.state || '' = 'waiting'
            OFFSET 0
        ) a
    ) t
    CROSS JOIN LATERAL (
        SELECT o.ctid AS place, o.no, o.object_seq, o.state FROM consumer.inbox o
        WHERE o.object_id = t.object_id AND o.state IN ('waiting', 'ready', 'parked')
            AND o.stream || '' = t.stream AND o.consumer || '' = $1
        ORDER BY o.object_seq, o.no
        LIMIT 1
    ) head
    WHERE head.state = 'waiting' AND (
        head.object_seq = 1
        OR head.no <= (SELECT s.seen_no FROM consumer.stream s WHERE s.consumer = $1 AND s.stream = t.stream)
        OR EXISTS (
            SELECT FROM consumer.inbox p
            WHERE p.object_id = t.object_id AND p.object_seq = head.object_seq - 1 AND p.state IN ('done', 'dropped')
                AND p.stream || '' = t.stream AND p.consumer || '' = $1
        )
    )
));

-- name: insert_rejects
-- What cannot be read is kept once, however often it comes.
INSERT INTO consumer.reject AS r (consumer, hash, body, reason, received_at)
SELECT DISTINCT ON (m.hash) $1, m.hash, m.body, m.reason, $2
FROM unnest($3::bytea[], $4::bytea[], $5::text[]) AS m (hash, body, reason)
ORDER BY m.hash
ON CONFLICT (consumer, hash) DO UPDATE SET times = r.times + 1;

-- name: insert_digests
-- What the source says a range contains; a later word replaces an earlier one.
INSERT INTO consumer.digest AS d (consumer, stream, from_no, to_no, hash, next_at)
SELECT DISTINCT ON (g.stream, g.from_no, g.to_no) $1, g.stream, g.from_no, g.to_no, g.hash, $2
FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::bytea[]) AS g (stream, from_no, to_no, hash)
ORDER BY g.stream, g.from_no, g.to_no
ON CONFLICT (consumer, stream, from_no, to_no) DO UPDATE
SET hash = coalesce(EXCLUDED.hash, d.hash), next_at = EXCLUDED.next_at;
