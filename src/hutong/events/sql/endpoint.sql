-- name: insert_endpoint
-- One more endpoint, unless the merchant has as many as the hot path can bear.
INSERT INTO events.endpoint (endpoint_id, merchant_id, url, types, sealed_secret, created_at)
SELECT $1, $2, $3, $4, $5, $6
WHERE (SELECT count(*) FROM events.endpoint WHERE merchant_id = $2 AND disabled_at IS NULL) < $7
RETURNING endpoint_id, merchant_id, url, types, created_at, disabled_at;

-- name: list_endpoints
-- All of a merchant's endpoints, oldest first; few, so no page.
SELECT endpoint_id, merchant_id, url, types, created_at, disabled_at
FROM events.endpoint
WHERE merchant_id = $1
ORDER BY endpoint_id;

-- name: disable_endpoint
-- Marks it once; the first instant stays. The merchant is part of the key, so a foreign endpoint is absent.
UPDATE events.endpoint SET disabled_at = coalesce(disabled_at, $3)
WHERE merchant_id = $1 AND endpoint_id = $2
RETURNING endpoint_id, merchant_id, url, types, created_at, disabled_at;
