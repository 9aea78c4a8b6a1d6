-- name: standing_suggestions
-- What waits for an operator, and what he dismissed and is still what health says.
SELECT id, what, account, interface, why, since, suggested_at, decision, decided_by, decided_at, reason, ended_at
FROM routing.suggestion
WHERE ended_at IS NULL
ORDER BY suggested_at, id;

-- name: add_suggestions
-- Several processes may see the same; one of them says so.
INSERT INTO routing.suggestion (id, what, account, interface, why, since, suggested_at)
SELECT n.id, n.what, n.account, n.interface, n.why, n.since, $7::timestamptz
FROM unnest($1::uuid [], $2::text [], $3::text [], $4::text [], $5::text [], $6::timestamptz [])
    AS n (id, what, account, interface, why, since)
ORDER BY n.account, n.interface
ON CONFLICT DO NOTHING
RETURNING id;

-- name: end_suggestions
-- Health no longer says so.
UPDATE routing.suggestion
SET ended_at = $2
WHERE id = ANY ($1::uuid []) AND ended_at IS NULL;

-- name: decide_suggestion
-- Once; a confirmed one has done its work.
UPDATE routing.suggestion
SET decision = $2, decided_by = $3, decided_at = $4, reason = $5,
    ended_at = CASE WHEN $2 = 'confirmed' THEN $4::timestamptz END
WHERE id = $1 AND decision IS NULL AND ended_at IS NULL
RETURNING id, what, account, interface, why, since, suggested_at, decision, decided_by, decided_at, reason, ended_at;

-- name: lift_leave
-- A confirmed return ends the leave.
UPDATE routing.override
SET lifted_at = $3
WHERE kind = 'leave' AND account = $1 AND interface = $2 AND lifted_at IS NULL;
