-- name: standing_overrides
-- Pins and blocks that hold, or will until their end.
SELECT id, kind, product, account, until, reason, operator_id, created_at, lifted_at, interface
FROM routing.override
WHERE lifted_at IS NULL AND (until IS NULL OR until > $1)
ORDER BY created_at, id;

-- name: end_pins
-- A new pin takes the place of the one before it.
UPDATE routing.override
SET lifted_at = $2
WHERE kind = 'pin' AND product = $1 AND lifted_at IS NULL;

-- name: add_override
-- A pin or a block.
INSERT INTO routing.override (id, kind, product, account, until, reason, operator_id, created_at, interface)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: lift_override
-- Its end before its time; once.
UPDATE routing.override
SET lifted_at = $2
WHERE id = $1 AND lifted_at IS NULL
RETURNING id, kind, product, account, until, reason, operator_id, created_at, lifted_at, interface;
