-- columns: endpoint
endpoint_id, merchant_id, url, types, scheme, public_key, previous_until, failing_since, created_at, disabled_at,
disabled_reason, description

-- name: insert_endpoint
-- Add an endpoint, unless the merchant has as many as the hot path can bear.
INSERT INTO events.endpoint (endpoint_id, merchant_id, url, types, scheme, sealed_secret, public_key, description,
    created_at)
SELECT :endpoint_id, :merchant_id, :url, :types, :scheme, :sealed_secret, :public_key, :description, :now
WHERE (SELECT count(*) FROM events.endpoint WHERE merchant_id = :merchant_id AND disabled_at IS NULL) < :most
RETURNING {endpoint};

-- name: list_endpoints
-- All endpoints of a merchant, oldest first; few, so no pages.
SELECT {endpoint}
FROM events.endpoint
WHERE merchant_id = $1
ORDER BY endpoint_id;

-- name: find_endpoint
-- One endpoint, of the given merchant, or of any for operators.
SELECT {endpoint}
FROM events.endpoint
WHERE ($1::uuid IS NULL OR merchant_id = $1) AND endpoint_id = $2;

-- name: change_endpoint
-- What is null stays. Another address has not failed yet.
UPDATE events.endpoint
SET url = coalesce(:url, url), types = coalesce(:types::text [], types),
    description = CASE WHEN :describes THEN :description::text ELSE description END,
    failing_since = CASE WHEN :url <> url THEN NULL ELSE failing_since END
WHERE merchant_id = :merchant_id AND endpoint_id = :endpoint_id
RETURNING {endpoint};

-- name: disable_endpoint
-- Disable an endpoint once; the first instant stays. The merchant is part of the key, so that a foreign endpoint is absent.
UPDATE events.endpoint
SET disabled_at = coalesce(disabled_at, $3),
    disabled_reason = CASE WHEN disabled_at IS NULL THEN 'merchant' ELSE disabled_reason END
WHERE merchant_id = $1 AND endpoint_id = $2
RETURNING {endpoint};

-- name: enable_endpoint
-- Enable an endpoint as if it had never failed, unless the merchant has as many as the hot path can bear.
UPDATE events.endpoint SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL
WHERE endpoint_id = $2
    AND (SELECT count(*) FROM events.endpoint WHERE merchant_id = $1 AND disabled_at IS NULL) < $3
RETURNING {endpoint};

-- name: rotate_secret
-- The current secret becomes the previous one; an older one is forgotten.
UPDATE events.endpoint
SET sealed_previous = CASE WHEN $4 THEN sealed_secret END, previous_until = CASE WHEN $4 THEN $5::timestamptz END,
    sealed_secret = $2, public_key = $3
WHERE endpoint_id = $1
RETURNING {endpoint};

-- name: record_health
-- Whether endpoints failed or succeeded in the last batch of attempts. Only changes are written.
WITH held AS (
    SELECT e.endpoint_id, r.succeeded, r.attempted_at
    FROM unnest($1::uuid[], $2::boolean[], $3::timestamptz[]) AS r (endpoint_id, succeeded, attempted_at)
    JOIN events.endpoint e ON e.endpoint_id = r.endpoint_id
    WHERE r.succeeded = (e.failing_since IS NOT NULL)
    ORDER BY e.endpoint_id
    FOR UPDATE OF e
)
UPDATE events.endpoint e SET failing_since = CASE WHEN NOT h.succeeded THEN h.attempted_at END
FROM held h WHERE e.endpoint_id = h.endpoint_id;

-- name: disable_failing
-- Disable the endpoints of a batch that have failed since the given instant or longer, each once.
UPDATE events.endpoint e SET disabled_at = $2, disabled_reason = 'failing'
FROM (
    SELECT f.endpoint_id FROM events.endpoint f
    WHERE f.endpoint_id = ANY ($1::uuid[]) AND f.disabled_at IS NULL AND f.failing_since <= $3
    ORDER BY f.endpoint_id
    FOR UPDATE
) long
WHERE e.endpoint_id = long.endpoint_id
RETURNING {e.endpoint};
