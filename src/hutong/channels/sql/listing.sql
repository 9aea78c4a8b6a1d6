-- name: list_accounts
-- Every account as an operator sees it; what is sealed stays out.
SELECT id, channel, name, enabled, sandbox, version, created_at, updated_at
FROM channels.account
ORDER BY channel, name;
