-- columns: operator
id AS operator_id, name, role, disabled_at

-- name: insert_operator
-- Only the hash is kept; the key itself is shown once. Returns no row if an enabled operator has this name.
INSERT INTO operators.operator (id, name, role, key_hash, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) WHERE disabled_at IS NULL DO NOTHING
RETURNING id;

-- name: disable_operator
-- A repeated call keeps the first time.
UPDATE operators.operator
SET disabled_at = coalesce(disabled_at, $2)
WHERE id = $1
RETURNING {operator};

-- name: authenticate
-- The enabled operator of a key.
SELECT {operator}
FROM operators.operator
WHERE key_hash = $1 AND disabled_at IS NULL;

-- name: list_operators
-- All operators in the order of their registration, disabled ones included.
SELECT {operator}
FROM operators.operator
ORDER BY id;

-- name: find_operators
-- Operators with their current roles.
SELECT {operator}
FROM operators.operator
WHERE id = ANY ($1::uuid []);
