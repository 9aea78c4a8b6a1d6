-- columns: override_setting
kind, product, account, until, reason, operator_id, created_at

-- columns: override
id AS override_id, {override_setting}, lifted_at, interface

-- name: active_overrides
-- Pins and blocks that have not ended.
SELECT {override}
FROM routing.override
WHERE lifted_at IS NULL AND (until IS NULL OR until > $1)
ORDER BY created_at, id;

-- name: end_pins
-- A new pin replaces the previous one.
UPDATE routing.override
SET lifted_at = $2
WHERE kind = 'pin' AND product = $1 AND lifted_at IS NULL;

-- name: add_override
-- A pin, a block or a confirmed leave.
INSERT INTO routing.override (id, {override_setting}, interface)
VALUES (
    :override_id, :kind, :product, :account, :until, :reason, :operator_id, :created_at, :interface
);

-- name: lift_override
-- The end of an override before its time, once.
UPDATE routing.override
SET lifted_at = $2
WHERE id = $1 AND lifted_at IS NULL
RETURNING {override};
