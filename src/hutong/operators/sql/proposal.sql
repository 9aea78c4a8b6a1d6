-- name: insert_proposals
-- What one person wants done, for another to decide.
INSERT INTO operators.proposal
    (id, action, object_kind, object_id, payload, reason, maker_id, proposed_at, expires_at, state)
SELECT p.id, p.action, p.object_kind, p.object_id, p.payload, p.reason, p.maker_id, $8::timestamptz, p.expires_at, 'open'
FROM unnest($1::uuid [], $2::text [], $3::text [], $4::text [], $5::jsonb [], $6::text [], $7::uuid [], $9::timestamptz [])
    AS p (id, action, object_kind, object_id, payload, reason, maker_id, expires_at);

-- name: lock_proposals
-- What is to be decided; locked in id order, so that of two decisions one comes first and the other sees it.
SELECT id, action, object_kind, object_id, payload, reason, maker_id, proposed_at, expires_at, state, checker_id,
    decision_reason, decided_at
FROM operators.proposal
WHERE id = ANY ($1::uuid [])
ORDER BY id
FOR UPDATE;

-- name: decide_proposals
-- The decision, once.
UPDATE operators.proposal AS p
SET state = d.state, checker_id = d.checker_id, decision_reason = d.reason, decided_at = $5
FROM unnest($1::uuid [], $2::text [], $3::uuid [], $4::text []) AS d (id, state, checker_id, reason)
WHERE p.id = d.id AND p.state = 'open';

-- name: find_proposal
-- One proposal as it stands.
SELECT id, action, object_kind, object_id, payload, reason, maker_id, proposed_at, expires_at, state, checker_id,
    decision_reason, decided_at
FROM operators.proposal
WHERE id = $1;

-- name: list_proposals
-- Newest first; only those still to be decided where that is asked for.
SELECT id, action, object_kind, object_id, payload, reason, maker_id, proposed_at, expires_at, state, checker_id,
    decision_reason, decided_at
FROM operators.proposal
WHERE ($1::uuid IS NULL OR id < $1)
    AND (NOT $2::boolean OR (state = 'open' AND expires_at > $3))
ORDER BY id DESC
LIMIT $4;
