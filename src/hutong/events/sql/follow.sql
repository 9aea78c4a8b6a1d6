-- name: last_event
-- The newest event of a merchant so far.
SELECT event_id FROM events.outbox WHERE merchant_id = $1 ORDER BY event_id DESC LIMIT 1;

-- name: events_before
-- Which events of a merchant in a short span come before one, or are it: by their ids, but those of its object by number.
SELECT e.event_id
FROM events.outbox AS e
LEFT JOIN events.outbox AS last ON last.event_id = :last AND last.object_id = e.object_id
WHERE e.merchant_id = :merchant_id AND e.event_id > :low AND e.event_id < :high
    AND CASE WHEN last.event_id IS NULL THEN e.event_id <= :last ELSE e.object_seq <= last.object_seq END;

-- name: follow_events
-- The events of a merchant after a bound, but those that are known already.
SELECT {event} FROM events.outbox
WHERE merchant_id = :merchant_id AND event_id > :low AND event_id <> ALL (:known::uuid [])
    AND (cardinality(:types::text []) = 0 OR type = ANY (:types))
ORDER BY event_id LIMIT :limit;

-- name: endpoint_targets
-- Where an event of this type would be sent: the merchant's enabled endpoints that subscribe to it, with their secrets.
SELECT endpoint_id, url, scheme, sealed_secret
FROM events.endpoint
WHERE merchant_id = $1 AND disabled_at IS NULL AND (cardinality(types) = 0 OR $2::text = ANY (types))
ORDER BY endpoint_id;
