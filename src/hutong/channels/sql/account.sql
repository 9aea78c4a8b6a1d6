-- columns: account
id AS account_id, channel, name, enabled, sandbox, version, created_at, updated_at

-- name: create_account
-- Creates an account; no row comes back when the channel already has one of this name.
INSERT INTO channels.account
    (id, channel, name, enabled, sandbox, credentials_sealed, version, created_at, updated_at)
VALUES ($1, $2, $3, TRUE, $4, $5, 1, $6, $6)
ON CONFLICT (channel, name) DO NOTHING
RETURNING id;

-- name: find_account
-- The account of this name, so that a repeated setup creates one account only.
SELECT id
FROM channels.account
WHERE channel = $1 AND name = $2;

-- name: list_accounts
-- Every account for operators; the sealed credentials are left out.
SELECT {account}
FROM channels.account
ORDER BY channel, name;

-- name: lock_account
-- The properties that new credentials must fit; locked so that two replacements follow one another.
SELECT channel, sandbox
FROM channels.account
WHERE id = $1
FOR UPDATE;

-- name: replace_credentials
-- A higher version makes every process load the account again.
UPDATE channels.account
SET credentials_sealed = $2, version = version + 1, updated_at = GREATEST(updated_at, $3)
WHERE id = $1
RETURNING version;

-- name: set_enabled
-- A disabled account takes no new payments; its existing ones are still queried, closed and notified.
UPDATE channels.account
SET enabled = $2, version = version + 1, updated_at = GREATEST(updated_at, $3)
WHERE id = $1
RETURNING version;

-- name: account_versions
-- The cheap query that shows which accounts have changed.
SELECT id, version
FROM channels.account
ORDER BY id;

-- name: load_accounts
-- The accounts that are new or have changed.
SELECT id, channel, name, enabled, sandbox, credentials_sealed, version
FROM channels.account
WHERE id = ANY($1::uuid [])
ORDER BY id;
