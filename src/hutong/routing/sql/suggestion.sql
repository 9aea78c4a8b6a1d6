-- columns: suggestion_content
what text, account text, interface text, why text, since timestamptz, suggested_at timestamptz

-- columns: suggestion
id AS suggestion_id, {suggestion_content}, decided_at AS dismissed_at

-- name: list_suggestions
-- Open suggestions, and dismissed ones that health still calls for.
SELECT {suggestion}
FROM routing.suggestion
WHERE ended_at IS NULL
ORDER BY suggested_at, id;

-- name: add_suggestions
-- Several processes may suggest the same switch; one of them writes it.
INSERT INTO routing.suggestion (id, {suggestion_content})
SELECT n.id, {n.suggestion_content}
FROM unnest(:suggestion_id::uuid [], {suggestion_content[]}) AS n (id, {suggestion_content})
ORDER BY n.account, n.interface
ON CONFLICT DO NOTHING
RETURNING id;

-- name: end_suggestions
-- Health no longer calls for these switches.
UPDATE routing.suggestion
SET ended_at = $2
WHERE id = ANY ($1::uuid []) AND ended_at IS NULL;

-- name: decide_suggestion
-- Once; a confirmed suggestion ends.
UPDATE routing.suggestion
SET decision = $2, decided_by = $3, decided_at = $4, reason = $5,
    ended_at = CASE WHEN $2 = 'confirmed' THEN $4::timestamptz END
WHERE id = $1 AND decision IS NULL AND ended_at IS NULL
RETURNING {suggestion};

-- name: lift_leave
-- A confirmed return ends the leave.
UPDATE routing.override
SET lifted_at = $3
WHERE kind = 'leave' AND account = $1 AND interface = $2 AND lifted_at IS NULL;
