-- name: insert_operator
-- The hash alone is kept; the key itself is shown once. No row comes back when an enabled operator has this name.
INSERT INTO operators.operator (id, name, role, key_hash, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) WHERE disabled_at IS NULL DO NOTHING
RETURNING id;

-- name: disable_operator
-- Disabling again keeps the first time.
UPDATE operators.operator
SET disabled_at = coalesce(disabled_at, $2)
WHERE id = $1
RETURNING id, name, role, disabled_at;

-- name: authenticate
-- The owner of a live key.
SELECT id, name, role, disabled_at
FROM operators.operator
WHERE key_hash = $1 AND disabled_at IS NULL;

-- name: list_operators
-- Everybody, in the order they came, those who left included.
SELECT id, name, role, disabled_at
FROM operators.operator
ORDER BY id;

-- name: find_operators
-- What some operators may do right now.
SELECT id, name, role, disabled_at
FROM operators.operator
WHERE id = ANY ($1::uuid []);
