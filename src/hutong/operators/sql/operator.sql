-- columns: operator
id AS operator_id, name, role, disabled_at, duties

-- name: insert_operator
-- Only the hash is kept; the key itself is shown once. Returns no row if an enabled operator has this name.
INSERT INTO operators.operator (id, name, role, key_hash, created_at, duties)
VALUES (:operator_id, :name, :role, :key_hash, :now, :duties)
ON CONFLICT (name) WHERE disabled_at IS NULL DO NOTHING
RETURNING id;

-- name: lock_operators
-- Operators who act: none of them is disabled until this transaction ends. No row is locked, since those who act may not
-- write any.
SELECT pg_advisory_xact_lock_shared(hashtextextended('operator ' || o.id, 0))
FROM (SELECT DISTINCT i.id FROM unnest($1::uuid []) AS i (id) ORDER BY i.id) AS o;

-- name: lock_operator
-- An operator to disable: whatever they are about to commit comes first, and the rest sees them disabled.
SELECT pg_advisory_xact_lock(hashtextextended('operator ' || $1::uuid, 0));

-- name: registered_operators
-- All operators with the hashes of their keys, to be compared with the journal.
SELECT {operator}, key_hash FROM operators.operator;

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
