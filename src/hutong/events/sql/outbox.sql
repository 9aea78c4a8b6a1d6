-- columns: event
event_id, type, version, merchant_id, object_id, object_seq, data, created_at, public_id

-- name: record_events
-- Numbers, events and deliveries in one statement, because it is part of every payment's transaction. The counters are
-- locked in id order. A delivery waits as long as its predecessor waits, so that a claim does not read it in vain.
WITH input AS (
    SELECT g.event_id, g.type, g.merchant_id, g.object_id, g.data, g.version, g.position
    FROM unnest(
        :event_id::uuid[], :type::text[], :merchant_id::uuid[], :object_id::uuid[], :data::text[], :version::smallint[]
    ) WITH ORDINALITY AS g (event_id, type, merchant_id, object_id, data, version, position)
),
counter AS (
    INSERT INTO events.object AS o (object_id, last_seq)
    SELECT g.object_id, count(*) FROM input g GROUP BY g.object_id ORDER BY g.object_id
    ON CONFLICT (object_id) DO UPDATE SET last_seq = o.last_seq + EXCLUDED.last_seq
    RETURNING o.object_id, o.last_seq
),
written AS (
    INSERT INTO events.outbox (event_id, merchant_id, object_id, object_seq, type, version, data, created_at, public_id)
    SELECT n.event_id, n.merchant_id, n.object_id, n.object_seq, n.type, n.version, n.data::json, :now::timestamptz,
        events.public_id(n.object_id, n.object_seq, n.type, n.event_id)
    FROM (
        SELECT g.event_id, g.merchant_id, g.object_id, g.type, g.version, g.data,
            c.last_seq + 1 - row_number() OVER (PARTITION BY g.object_id ORDER BY g.position DESC) AS object_seq
        FROM input g JOIN counter c ON c.object_id = g.object_id
    ) n
    RETURNING event_id, merchant_id, object_id, object_seq, type
)
INSERT INTO events.delivery (event_id, endpoint_id, object_id, object_seq, next_at)
SELECT w.event_id, e.endpoint_id, w.object_id, w.object_seq, greatest(:now, before.next_at)
FROM written w
JOIN events.endpoint e
    ON e.merchant_id = w.merchant_id AND e.disabled_at IS NULL AND (e.types = '{}' OR w.type = ANY (e.types))
LEFT JOIN LATERAL (
    SELECT d.next_at FROM events.delivery d
    WHERE d.endpoint_id = e.endpoint_id AND d.object_id = w.object_id AND d.state = 'pending' AND w.object_seq > 1
    ORDER BY d.object_seq DESC LIMIT 1
) before ON true;

-- name: find_event
-- One event of the outbox.
SELECT {event}
FROM events.outbox WHERE event_id = $1;

-- name: find_by_public_id
-- The key of an event that is known by this id.
SELECT event_id FROM events.outbox WHERE public_id = $1;

-- name: find_own_event
-- The event that a merchant knows by this id.
SELECT {event}
FROM events.outbox
WHERE merchant_id = $2 AND (public_id = $1 OR (event_id = $1 AND public_id IS NULL));

-- name: list_events
-- A merchant's events, newest first, from before a key. The range of pairs is that of the merchant's index, and the range of
-- keys leaves out partitions.
SELECT {event}
FROM events.outbox
WHERE (merchant_id, event_id) >= (:merchant_id, :least::uuid) AND (merchant_id, event_id) < (:merchant_id, :before::uuid)
    AND event_id >= :least AND event_id < :before
    AND (:type::text IS NULL OR type = :type)
    AND (:begin::timestamptz IS NULL OR created_at >= :begin) AND (:end::timestamptz IS NULL OR created_at < :end)
ORDER BY merchant_id DESC, event_id DESC
LIMIT :limit;

-- name: list_events_of_object
-- The events of one object of a merchant, newest first, from before a number.
SELECT {event}
FROM events.outbox
WHERE object_id = :object_id AND merchant_id = :merchant_id
    AND (:before::bigint IS NULL OR object_seq < :before)
    AND (:type::text IS NULL OR type = :type)
    AND (:begin::timestamptz IS NULL OR created_at >= :begin) AND (:end::timestamptz IS NULL OR created_at < :end)
ORDER BY object_seq DESC
LIMIT :limit;

-- name: object_versions
-- The number of each object's last event.
SELECT object_id, last_seq FROM events.object WHERE object_id = ANY ($1::uuid []);
