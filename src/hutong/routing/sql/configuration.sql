-- name: current_version
-- The cheap look that tells whether there is something new.
SELECT coalesce(max(version), 0) AS version
FROM routing.configuration;

-- name: find_configuration
-- One version as it was published.
SELECT version, document, published_at, proposal_id
FROM routing.configuration
WHERE version = $1;

-- name: list_configurations
-- What was in force and when, newest first.
SELECT version, document, published_at, proposal_id
FROM routing.configuration
ORDER BY version DESC
LIMIT $1;

-- name: publish
-- The next version; no row comes back when somebody else has published in between.
INSERT INTO routing.configuration (version, document, published_at, proposal_id)
SELECT $1::bigint, $2, $3, $4
WHERE (SELECT coalesce(max(version), 0) FROM routing.configuration) = $1::bigint - 1
ON CONFLICT DO NOTHING
RETURNING version;

-- name: add_basis
-- What accounts can do changes seldom, and every process finds the same.
INSERT INTO routing.basis (digest, document, first_used_at)
VALUES ($1, $2, $3)
ON CONFLICT (digest) DO NOTHING;

-- name: find_bases
-- What accounts could do when decisions were made.
SELECT digest, document
FROM routing.basis
WHERE digest = ANY ($1::text []);
