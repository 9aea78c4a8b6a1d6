-- name: current_version
-- A cheap check whether there is a newer configuration.
SELECT coalesce(max(version), 0) AS version
FROM routing.configuration;

-- name: find_configuration
-- One version as it was published.
SELECT version, document
FROM routing.configuration
WHERE version = $1;

-- name: current_configuration
-- The newest version; no row comes back before the first is published.
SELECT version, document
FROM routing.configuration
ORDER BY version DESC
LIMIT 1;

-- name: publish
-- The next version; no row comes back if another one was published in between.
INSERT INTO routing.configuration (version, document, published_at, proposal_id)
SELECT $1::bigint, $2, $3, $4
WHERE (SELECT coalesce(max(version), 0) FROM routing.configuration) = $1::bigint - 1
ON CONFLICT DO NOTHING
RETURNING version;

-- name: configuration_at
-- The version that was in force at an instant; no row comes back if none was.
SELECT version, document
FROM routing.configuration
WHERE published_at <= $1
ORDER BY version DESC
LIMIT 1;
