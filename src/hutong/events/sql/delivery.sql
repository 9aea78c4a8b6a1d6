-- name: keep_to_indexes
-- How much is pending changes faster than the planner's statistics: it may believe in a handful and sort ten thousand.
-- For the rest of this transaction it reads them in the order of the index instead.
SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true);

-- name: claim_deliveries
-- Walks from endpoint to endpoint through the index of what is pending, so that one endpoint's backlog is never read on
-- the way to another's, and takes from each that has something due its share of the free places: the oldest deliveries
-- that are the first pending ones of their object.
-- $1 now, $2 claimed until, $3 places free in all, $4 places per endpoint, $5 to $7 endpoints known to differ: how many
-- are on their way, how many may be. Of one that is not known but has been failing, one try at a time. The rows pass through arrays so that the plan looks them up by key, whatever the
-- planner thinks of the walk.
WITH RECURSIVE walk AS (
    (
        SELECT d.endpoint_id, d.next_at FROM events.delivery d
        WHERE d.next_at IS NOT NULL ORDER BY d.endpoint_id, d.next_at LIMIT 1
    )
    UNION ALL
    SELECT n.endpoint_id, n.next_at
    FROM walk w CROSS JOIN LATERAL (
        SELECT d.endpoint_id, d.next_at FROM events.delivery d
        WHERE d.next_at IS NOT NULL AND d.endpoint_id > w.endpoint_id ORDER BY d.endpoint_id, d.next_at LIMIT 1
    ) n
),
ready AS (
    SELECT w.endpoint_id, coalesce(k.in_flight, 0) AS in_flight,
        least(
            coalesce(k.places, CASE WHEN e.failing_since IS NULL OR e.disabled_at IS NOT NULL THEN $4 ELSE 1 END) - coalesce(k.in_flight, 0),
            1 + $3 / count(*) OVER ()
        ) AS share
    FROM walk w
    JOIN events.endpoint e ON e.endpoint_id = w.endpoint_id
    LEFT JOIN unnest($5::uuid[], $6::int[], $7::int[]) AS k (endpoint_id, in_flight, places)
        ON k.endpoint_id = w.endpoint_id
    WHERE w.next_at <= $1
),
due AS (
    SELECT c.event_id, r.endpoint_id, r.in_flight, c.next_at
    FROM ready r
    CROSS JOIN LATERAL (
        SELECT d.event_id, d.next_at FROM events.delivery d
        WHERE d.endpoint_id = r.endpoint_id AND d.next_at <= $1
            AND (d.claimed_until IS NULL OR d.claimed_until <= $1)
            AND d.object_seq = (
                SELECT min(b.object_seq) FROM events.delivery b
                WHERE b.endpoint_id = d.endpoint_id AND b.object_id = d.object_id AND b.state = 'pending'
            )
        ORDER BY d.next_at
        LIMIT greatest(0, r.share)
        FOR UPDATE SKIP LOCKED
    ) c
),
fair AS (
    SELECT d.event_id, d.endpoint_id FROM due d
    ORDER BY d.in_flight + row_number() OVER (PARTITION BY d.endpoint_id ORDER BY d.next_at)
    LIMIT $3
),
claimed AS (
    UPDATE events.delivery d SET claimed_until = $2
    FROM unnest(
        (SELECT array_agg(f.event_id) FROM fair f), (SELECT array_agg(f.endpoint_id) FROM fair f)
    ) AS f (event_id, endpoint_id)
    WHERE d.event_id = f.event_id AND d.endpoint_id = f.endpoint_id
    RETURNING d.event_id, d.endpoint_id, d.object_id, d.object_seq, d.attempts
)
SELECT c.event_id, c.endpoint_id, c.object_id, c.object_seq, c.attempts, o.type, o.version, o.data, o.created_at,
    e.merchant_id, e.url, e.scheme, e.sealed_secret,
    CASE WHEN e.previous_until > $1 THEN e.sealed_previous END AS sealed_previous,
    e.disabled_at IS NOT NULL AS disabled, e.failing_since IS NOT NULL AND e.disabled_at IS NULL AS failing
FROM claimed c
CROSS JOIN LATERAL (SELECT b.type, b.version, b.data, b.created_at FROM events.outbox b WHERE b.event_id = c.event_id LIMIT 1) o
JOIN events.endpoint e ON e.endpoint_id = c.endpoint_id;

-- name: finish_deliveries
-- Marks what came of a batch of tries. A failure counts only for the claim it was made under; a success always does,
-- because the merchant has the event, whoever else may be trying by now. Final states are named, not the open one, so
-- that the rows are found by key and not by an index of what is open.
UPDATE events.delivery d
SET state = r.state, attempts = d.attempts + (r.last_at IS NOT NULL)::int, next_at = r.next_at, claimed_until = NULL,
    last_at = coalesce(r.last_at, d.last_at), last_status = r.status, last_error = r.error, last_duration_ms = r.duration_ms
FROM unnest(
    $1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::int[], $8::text[],
    $9::int[]
) AS r (event_id, endpoint_id, claimed_until, state, next_at, last_at, status, error, duration_ms)
WHERE d.event_id = r.event_id AND d.endpoint_id = r.endpoint_id AND d.state NOT IN ('delivered', 'dead')
    AND (r.state = 'delivered' OR d.claimed_until = r.claimed_until);

-- name: postpone_successors
-- What stands behind a failed try waits as long as it does, so that a claim does not read it again and again in vain.
UPDATE events.delivery d SET next_at = r.next_at
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[]) AS r (endpoint_id, object_id, object_seq, next_at)
WHERE d.endpoint_id = r.endpoint_id AND d.object_id = r.object_id AND d.state = 'pending'
    AND d.object_seq > r.object_seq AND d.next_at < r.next_at;

-- name: insert_tries
-- The log of a batch. A batch that is marked once more, because nobody knows whether it was committed, is in it once.
INSERT INTO events.delivery_try (
    try_id, endpoint_id, event_id, number, state, tried_at, duration_ms, status, error, answer
)
SELECT t.try_id, t.endpoint_id, t.event_id, t.number, t.state, t.tried_at, t.duration_ms, t.status, t.error, t.answer
FROM unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::timestamptz[], $7::int[], $8::int[], $9::text[],
    $10::text[]
) AS t (try_id, endpoint_id, event_id, number, state, tried_at, duration_ms, status, error, answer)
ON CONFLICT DO NOTHING;

-- name: list_delivery_attempts
-- The log of one endpoint, newest first, with what each request carried.
SELECT t.try_id, t.endpoint_id, t.number, t.state, t.tried_at, t.duration_ms, t.status, t.error, t.answer,
    o.event_id, o.type, o.version, o.merchant_id, o.object_id, o.object_seq, o.data, o.created_at
FROM events.delivery_try t
CROSS JOIN LATERAL (
    SELECT b.event_id, b.type, b.version, b.merchant_id, b.object_id, b.object_seq, b.data, b.created_at
    FROM events.outbox b WHERE b.event_id = t.event_id LIMIT 1
) o
WHERE t.endpoint_id = $1 AND ($2::uuid IS NULL OR t.event_id = $2) AND ($3::text IS NULL OR t.state = $3)
    AND ($4::uuid IS NULL OR t.try_id < $4)
ORDER BY t.try_id DESC
LIMIT $5;

-- name: replay_events
-- Sends events of a merchant to one of its endpoints once more, or for the first time if they are older than it; what
-- is on its way is left alone. One statement for a whole page of the journal.
WITH chosen AS (
    SELECT o.event_id, o.object_id, o.object_seq
    FROM events.outbox o
    WHERE o.merchant_id = $1 AND o.event_id BETWEEN $3 AND $4 AND ($5::text[] = '{}' OR o.type = ANY ($5))
    ORDER BY o.event_id
    LIMIT $6
),
written AS (
    INSERT INTO events.delivery AS d (event_id, endpoint_id, object_id, object_seq, next_at)
    SELECT c.event_id, $2, c.object_id, c.object_seq, $7 FROM chosen c
    ON CONFLICT (event_id, endpoint_id) DO UPDATE
        SET state = 'pending', attempts = 0, next_at = EXCLUDED.next_at, claimed_until = NULL
        WHERE d.state <> 'pending'
    RETURNING d.event_id
)
SELECT c.event_id, w.event_id IS NOT NULL AS replayed
FROM chosen c LEFT JOIN written w ON w.event_id = c.event_id
ORDER BY c.event_id;

-- name: replay_dead
-- The same for what was given up, found through its own index. It looks at the journal, so that an event that is being
-- archived is either seen to be wanted or not sent.
WITH chosen AS (
    SELECT d.event_id
    FROM events.delivery d
    WHERE d.endpoint_id = $1 AND d.state = 'dead' AND d.event_id BETWEEN $2 AND $3
        AND EXISTS (SELECT FROM events.outbox o WHERE o.event_id = d.event_id)
    ORDER BY d.event_id
    LIMIT $4
    FOR UPDATE OF d
)
UPDATE events.delivery d SET state = 'pending', attempts = 0, next_at = $5, claimed_until = NULL
FROM chosen c
WHERE d.event_id = c.event_id AND d.endpoint_id = $1
RETURNING d.event_id, true AS replayed;

-- name: deliveries_of_event
-- The delivery log of one event, for its merchant only.
SELECT d.endpoint_id, d.event_id, d.state, d.attempts, d.next_at, d.last_at, d.last_status, d.last_error,
    d.last_duration_ms
FROM events.outbox o JOIN events.delivery d ON d.event_id = o.event_id
WHERE o.merchant_id = $1 AND o.event_id = $2
ORDER BY d.endpoint_id;

-- name: backlog
-- How much is pending, and since when the oldest of what is due has been; both from the index alone.
SELECT count(*) AS pending, min(d.next_at) AS oldest_at FROM events.delivery d WHERE d.next_at IS NOT NULL;
