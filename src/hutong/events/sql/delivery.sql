-- name: keep_to_indexes
-- The number of pending rows changes faster than the planner's statistics: it may expect a handful and sort ten thousand.
-- For the rest of this transaction it reads rows in the order of the index instead.
SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true);

-- name: claim_deliveries
-- Walk from endpoint to endpoint through the index of pending deliveries, so that one endpoint's backlog is never read on
-- the way to another's. From each endpoint with due deliveries, take its share of the free slots: the oldest deliveries
-- that are the first pending ones of their object. `endpoint_ids`, `in_flight` and `slots` list the endpoints that have
-- deliveries in flight or fewer slots than `endpoint_slots`; events before `first_id` wait for the end of a catch-up; an unlisted endpoint that has been failing gets one attempt
-- at a time. The rows pass through arrays so that the plan looks them up by key, whatever the planner expects of the walk.
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
            coalesce(k.slots, CASE WHEN e.failing_since IS NULL OR e.disabled_at IS NOT NULL THEN :endpoint_slots ELSE 1 END)
                - coalesce(k.in_flight, 0),
            1 + :free / count(*) OVER ()
        ) AS share
    FROM walk w
    JOIN events.endpoint e ON e.endpoint_id = w.endpoint_id
    LEFT JOIN unnest(:endpoint_ids::uuid[], :in_flight::int[], :slots::int[]) AS k (endpoint_id, in_flight, slots)
        ON k.endpoint_id = w.endpoint_id
    WHERE w.next_at <= :now
),
due AS (
    SELECT c.event_id, r.endpoint_id, r.in_flight, c.next_at
    FROM ready r
    CROSS JOIN LATERAL (
        SELECT d.event_id, d.next_at FROM events.delivery d
        WHERE d.endpoint_id = r.endpoint_id AND d.next_at <= :now AND d.event_id >= :first_id
            AND (d.claimed_until IS NULL OR d.claimed_until <= :now)
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
    LIMIT :free
),
claimed AS (
    UPDATE events.delivery d SET claimed_until = :until
    FROM unnest(
        (SELECT array_agg(f.event_id) FROM fair f), (SELECT array_agg(f.endpoint_id) FROM fair f)
    ) AS f (event_id, endpoint_id)
    WHERE d.event_id = f.event_id AND d.endpoint_id = f.endpoint_id
    RETURNING d.event_id, d.endpoint_id, d.object_id, d.object_seq, d.attempts
)
SELECT c.event_id, c.endpoint_id, c.object_id, c.object_seq, c.attempts, o.type, o.version, o.data, o.created_at,
    o.public_id,
    e.merchant_id, e.url, e.scheme, e.sealed_secret,
    CASE WHEN e.previous_until > :now THEN e.sealed_previous END AS sealed_previous,
    e.disabled_at IS NOT NULL AS disabled, e.failing_since IS NOT NULL AND e.disabled_at IS NULL AS failing
FROM claimed c
CROSS JOIN LATERAL (
    SELECT b.type, b.version, b.data, b.created_at, b.public_id FROM events.outbox b WHERE b.event_id = c.event_id LIMIT 1
) o
JOIN events.endpoint e ON e.endpoint_id = c.endpoint_id;

-- name: finish_deliveries
-- Record the results of a batch of attempts. A failure counts only for the claim that it was made under. A success always
-- counts, because the merchant has the event, even if another worker is attempting it by now. The condition names the
-- final states, not the pending one, so that rows are found by key and not by the index of pending deliveries.
UPDATE events.delivery d
SET state = r.state, attempts = d.attempts + (r.last_at IS NOT NULL)::int, next_at = r.next_at, claimed_until = NULL,
    last_at = coalesce(r.last_at, d.last_at), last_status = r.status, last_error = r.error, last_duration_ms = r.duration_ms
FROM unnest(
    :event_id::uuid[], :endpoint_id::uuid[], :claimed_until::timestamptz[], :state::text[], :next_at::timestamptz[],
    :last_at::timestamptz[], :status::int[], :error::text[], :duration_ms::int[]
) AS r (event_id, endpoint_id, claimed_until, state, next_at, last_at, status, error, duration_ms)
WHERE d.event_id = r.event_id AND d.endpoint_id = r.endpoint_id AND d.state NOT IN ('delivered', 'dead')
    AND (r.state = 'delivered' OR d.claimed_until = r.claimed_until);

-- name: make_deliveries_due
-- Some deliveries are due now, and no claim lasts longer than one made now: earlier instants are those of another clock.
-- One whose result is being recorded gets its next instant by that.
UPDATE events.delivery d
SET next_at = least(d.next_at, :now::timestamptz),
    claimed_until = CASE WHEN d.claimed_until <= :claims_end::timestamptz THEN d.claimed_until END
FROM (
    SELECT p.event_id, p.endpoint_id FROM events.delivery p
    WHERE p.state = 'pending' AND (p.next_at > :now OR p.claimed_until > :claims_end)
    LIMIT :most
    FOR UPDATE SKIP LOCKED
) AS p
WHERE d.event_id = p.event_id AND d.endpoint_id = p.endpoint_id
RETURNING d.event_id;

-- name: restart_failing
-- Endpoints that fail count their days from now on.
UPDATE events.endpoint SET failing_since = :now WHERE failing_since IS NOT NULL AND disabled_at IS NULL;

-- name: postpone_successors
-- Successors of a failed delivery wait as long as it does, so that claims do not read them again and again in vain.
UPDATE events.delivery d SET next_at = r.next_at
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[]) AS r (endpoint_id, object_id, object_seq, next_at)
WHERE d.endpoint_id = r.endpoint_id AND d.object_id = r.object_id AND d.state = 'pending'
    AND d.object_seq > r.object_seq AND d.next_at < r.next_at;

-- columns: attempt_result
endpoint_id uuid, number integer, state text, duration_ms integer, status integer, error text, answer text

-- name: insert_delivery_attempts
-- The log of a batch. A batch that is recorded again, because nobody knows whether it was committed, is in it once.
INSERT INTO events.delivery_try (try_id, event_id, tried_at, {attempt_result})
SELECT t.attempt_id, t.event_id, t.attempted_at, {t.attempt_result}
FROM unnest(:attempt_id::uuid[], :event_id::uuid[], :attempted_at::timestamptz[], {attempt_result[]})
    AS t (attempt_id, event_id, attempted_at, {attempt_result})
ON CONFLICT DO NOTHING;

-- name: list_delivery_attempts
-- The log of one endpoint, newest first, with the event that each request carried.
SELECT t.try_id AS attempt_id, t.tried_at AS attempted_at, {t.attempt_result}, {o.event}
FROM events.delivery_try t
CROSS JOIN LATERAL (
    SELECT {b.event}
    FROM events.outbox b WHERE b.event_id = t.event_id LIMIT 1
) o
WHERE t.endpoint_id = $1 AND ($2::uuid IS NULL OR t.event_id = $2) AND ($3::text IS NULL OR t.state = $3)
    AND ($4::uuid IS NULL OR t.try_id < $4)
ORDER BY t.try_id DESC
LIMIT $5;

-- name: replay_events
-- Send events of a merchant to one of its endpoints again, or for the first time if they are older than the endpoint.
-- Pending deliveries are left alone. One statement for a whole page of the outbox.
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
-- The same for dead deliveries, found through their own index. It reads the outbox, so that for an event that is being
-- archived either the archive sees the delivery or nothing is sent.
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

-- name: read_backlog
-- The number of pending deliveries, and the instant at which the first of them is or was due; from the index alone.
SELECT count(*) AS pending, min(d.next_at) AS oldest_at FROM events.delivery d WHERE d.next_at IS NOT NULL;
