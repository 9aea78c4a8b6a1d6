-- name: object_versions
-- The number of each object's last event.
SELECT object_id, last_seq FROM events.object WHERE object_id = ANY ($1::uuid []);
