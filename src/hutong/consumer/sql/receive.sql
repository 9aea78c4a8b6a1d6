-- name: keep_to_indexes
-- A plan made while the inbox is small reads all of it, and is kept while the inbox grows. This setting prevents such plans
-- for the rest of the transaction. It is never made before a handler runs, whose plans are its own.
SELECT set_config('enable_seqscan', 'off', true);

-- name: open_streams
-- Add streams that are new to the consumer.
INSERT INTO consumer.stream (consumer, stream, first_no, last_no, seen_no, tidied_no)
SELECT $1, s.stream, s.first_no, s.first_no - 1, s.first_no - 1, s.first_no - 1
FROM unnest($2::text[], $3::bigint[]) AS s (stream, first_no)
ORDER BY s.stream
ON CONFLICT DO NOTHING;

-- name: lock_streams
-- A transaction that changes a stream locks its row, and those of the same stream in other epochs of the source, since they
-- have messages of the same objects: in sorted order, so that two never wait for each other.
SELECT s.stream, s.first_no, s.last_no, s.seen_no, s.tidied_no
FROM consumer.stream s
WHERE s.consumer = $1 AND regexp_replace(s.stream, '-[0-9]+$', '') IN (
    SELECT regexp_replace(n.stream, '-[0-9]+$', '') FROM unnest($2::text[]) AS n (stream)
)
ORDER BY s.stream
FOR NO KEY UPDATE;

-- columns: message
stream text, no bigint, event_id text, type text, object_id text, object_seq bigint, hash bytea, body bytea

-- name: insert_messages
-- A message that is already stored is not inserted, and so not returned. After a restore the source may publish an earlier
-- event again, in a stream of the next epoch: it is known by its id, and done. So is an earlier message that arrives late.
INSERT INTO consumer.inbox (consumer, received_at, state, ended_at, {message})
SELECT :consumer, :now, CASE WHEN k.known THEN 'done' ELSE 'waiting' END,
    CASE WHEN k.known THEN :now::timestamptz END, {m.message}
FROM unnest({message[]}) AS m ({message})
CROSS JOIN LATERAL (
    SELECT (m.stream ~ '-[0-9]+$' OR EXISTS (
        SELECT FROM consumer.stream AS s WHERE s.consumer = :consumer AND s.stream ~ '-[0-9]+$'
    )) AND EXISTS (
        SELECT FROM consumer.inbox AS i
        WHERE i.object_id = m.object_id AND i.object_seq = m.object_seq AND i.consumer = :consumer
            AND i.event_id = m.event_id AND i.stream <> m.stream
    ) AS known
) AS k
ON CONFLICT DO NOTHING
RETURNING stream, no;

-- name: follows_any
-- Whether a consumer follows one of these streams.
SELECT EXISTS (SELECT FROM consumer.stream AS s WHERE s.consumer = $1 AND s.stream = ANY ($2::text[]));

-- name: differing
-- The repeated messages that differ from the stored ones, and whether the source has confirmed them by a digest of that
-- number alone.
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
-- The right message replaces the wrong one. If the wrong one was handled, the right one is handled as well.
UPDATE consumer.inbox i
SET hash = m.hash, body = m.body, event_id = m.event_id, type = m.type, object_id = m.object_id,
    object_seq = m.object_seq, state = 'waiting', attempts = 0, next_at = NULL, ended_at = NULL, reason = NULL,
    corrects = i.corrects OR i.state = 'done'
FROM unnest({message[]}) AS m ({message})
WHERE i.consumer = :consumer AND i.stream = m.stream AND i.no = m.no;

-- name: gaps_of_streams
-- The gaps of streams, in order.
SELECT g.stream, g.from_no, g.to_no, g.found_at, g.lost_at, g.asked
FROM consumer.gap g
WHERE g.consumer = $1 AND g.stream = ANY ($2::text[])
ORDER BY g.stream, g.from_no;

-- name: delete_gaps
-- Delete gaps that were closed at least in part.
DELETE FROM consumer.gap g
USING unnest($2::text[], $3::bigint[]) AS c (stream, from_no)
WHERE g.consumer = $1 AND g.stream = c.stream AND g.from_no = c.from_no;

-- columns: gap
stream text, from_no bigint, to_no bigint, found_at timestamptz, lost_at timestamptz, asked integer, next_at timestamptz

-- name: insert_gaps
-- Add new gaps and the rests of others. They are requested if nothing of them arrives for a while.
INSERT INTO consumer.gap (consumer, {gap})
SELECT :consumer, {g.gap}
FROM unnest({gap[]}) AS g ({gap});

-- name: update_streams
-- The state of streams after a batch; numbers that were given up are not awaited.
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
-- A number that was given up and arrives nevertheless, after later messages of its object were handled, is parked.
UPDATE consumer.inbox i SET state = 'parked', reason = 'arrived after later messages of its object'
FROM unnest($2::text[], $3::bigint[]) AS m (stream, no)
WHERE i.consumer = $1 AND i.stream = m.stream AND i.no = m.no AND i.state = 'waiting' AND EXISTS (
    SELECT FROM consumer.inbox d
    WHERE d.consumer = $1 AND d.object_id = i.object_id AND d.object_seq > i.object_seq AND d.state = 'done'
        AND regexp_replace(d.stream, '-[0-9]+$', '') = regexp_replace(i.stream, '-[0-9]+$', '')
);

-- name: promote
-- The first unhandled message of an object is ready as soon as nothing can come before it: its predecessor is handled, or
-- there is none, or no number below it is missing. An object's messages are in order over all epochs of the source: after a
-- restore, what is missing in a stream may arrive in the next one. `object_streams` and `object_ids` are the objects with changes;
-- `streams`, `befores` and `afters` are the streams in which nothing is missing up to a higher number than before. While
-- the planner has no statistics of the table, it considers all indexes equal: an expression (|| '') keeps it off those that
-- do not fit, and rows are updated by their place.
UPDATE consumer.inbox i SET state = 'ready', next_at = :now
WHERE i.ctid = ANY (ARRAY(
    SELECT head.place
    FROM (
        SELECT regexp_replace(u.stream, '-[0-9]+$', '') AS base, u.object_id
        FROM unnest(:object_streams::text[], :object_ids::text[]) AS u (stream, object_id)
        UNION
        SELECT regexp_replace(a.stream, '-[0-9]+$', ''), a.object_id
        FROM unnest(:streams::text[], :befores::bigint[], :afters::bigint[]) AS s (stream, before, after)
        CROSS JOIN LATERAL (
            SELECT w.stream, w.object_id FROM consumer.inbox w
            WHERE w.consumer = :consumer AND w.stream = s.stream AND w.no > s.before AND w.no <= s.after
                AND w.state || '' = 'waiting'
            OFFSET 0
        ) a
    ) t
    CROSS JOIN LATERAL (
        SELECT o.ctid AS place, o.stream, o.no, o.object_seq, o.state FROM consumer.inbox o
        WHERE o.object_id = t.object_id AND o.state IN ('waiting', 'ready', 'parked')
            AND regexp_replace(o.stream, '-[0-9]+$', '') = t.base AND o.consumer || '' = :consumer
        ORDER BY o.object_seq, length(o.stream), o.stream, o.no
        LIMIT 1
    ) head
    WHERE head.state = 'waiting' AND (
        head.object_seq = 1
        OR head.no <= (SELECT s.seen_no FROM consumer.stream s WHERE s.consumer = :consumer AND s.stream = head.stream)
        OR EXISTS (
            SELECT FROM consumer.inbox p
            WHERE p.object_id = t.object_id AND p.object_seq = head.object_seq - 1 AND p.state IN ('done', 'dropped')
                AND regexp_replace(p.stream, '-[0-9]+$', '') = t.base AND p.consumer || '' = :consumer
        )
    )
));

-- name: insert_rejects
-- An unreadable message is kept once, however often it arrives.
INSERT INTO consumer.reject AS r (consumer, hash, body, reason, received_at)
SELECT DISTINCT ON (m.hash) $1, m.hash, m.body, m.reason, $2
FROM unnest($3::bytea[], $4::bytea[], $5::text[]) AS m (hash, body, reason)
ORDER BY m.hash
ON CONFLICT (consumer, hash) DO UPDATE SET times = r.times + 1;

-- name: insert_digests
-- Reports of the source on ranges; a later report replaces an earlier one.
INSERT INTO consumer.digest AS d (consumer, stream, from_no, to_no, hash, next_at)
SELECT DISTINCT ON (g.stream, g.from_no, g.to_no) $1, g.stream, g.from_no, g.to_no, g.hash, $2
FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::bytea[]) AS g (stream, from_no, to_no, hash)
ORDER BY g.stream, g.from_no, g.to_no
ON CONFLICT (consumer, stream, from_no, to_no) DO UPDATE
SET hash = coalesce(EXCLUDED.hash, d.hash), next_at = EXCLUDED.next_at;
