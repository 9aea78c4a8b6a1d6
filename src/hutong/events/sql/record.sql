-- name: record_events
-- Numbers, journal and deliveries in one statement, because it stands in every payment's transaction. The counters are
-- locked in id order. A delivery waits as long as the one before it waits, so that what cannot go yet is not looked at.
WITH given AS (
    SELECT g.event_id, g.type, g.merchant_id, g.object_id, g.data, g.version, g.position
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $7::smallint[])
        WITH ORDINALITY AS g (event_id, type, merchant_id, object_id, data, version, position)
),
counter AS (
    INSERT INTO events.object AS o (object_id, last_seq)
    SELECT g.object_id, count(*) FROM given g GROUP BY g.object_id ORDER BY g.object_id
    ON CONFLICT (object_id) DO UPDATE SET last_seq = o.last_seq + EXCLUDED.last_seq
    RETURNING o.object_id, o.last_seq
),
written AS (
    INSERT INTO events.outbox (event_id, merchant_id, object_id, object_seq, type, version, data, created_at)
    SELECT g.event_id, g.merchant_id, g.object_id,
        c.last_seq + 1 - row_number() OVER (PARTITION BY g.object_id ORDER BY g.position DESC),
        g.type, g.version, g.data::json, $6::timestamptz
    FROM given g JOIN counter c ON c.object_id = g.object_id
    RETURNING event_id, merchant_id, object_id, object_seq, type
)
INSERT INTO events.delivery (event_id, endpoint_id, object_id, object_seq, next_at)
SELECT w.event_id, e.endpoint_id, w.object_id, w.object_seq, greatest($6, before.next_at)
FROM written w
JOIN events.endpoint e
    ON e.merchant_id = w.merchant_id AND e.disabled_at IS NULL AND (e.types = '{}' OR w.type = ANY (e.types))
LEFT JOIN LATERAL (
    SELECT d.next_at FROM events.delivery d
    WHERE d.endpoint_id = e.endpoint_id AND d.object_id = w.object_id AND d.state = 'pending' AND w.object_seq > 1
    ORDER BY d.object_seq DESC LIMIT 1
) before ON true;

-- name: list_events
-- A merchant's events, oldest first, for one who has been away.
SELECT event_id, type, version, merchant_id, object_id, object_seq, data, created_at
FROM events.outbox
WHERE merchant_id = $1 AND ($2::uuid IS NULL OR event_id > $2)
ORDER BY event_id
LIMIT $3;
