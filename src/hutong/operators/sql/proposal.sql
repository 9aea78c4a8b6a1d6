-- columns: proposal_intent
object_kind text, object_id text, action text, payload jsonb, reason text, maker_id uuid, expires_at timestamptz

-- columns: proposal_decision
state text, checker_id uuid, decision_reason text

-- columns: proposal
id AS proposal_id, {proposal_intent}, {proposal_decision}, proposed_at, decided_at

-- name: insert_proposals
-- Open proposals, for another person to decide.
INSERT INTO operators.proposal (id, proposed_at, state, {proposal_intent})
SELECT p.id, :proposed_at::timestamptz, 'open', {p.proposal_intent}
FROM unnest(:proposal_id::uuid [], {proposal_intent[]}) AS p (id, {proposal_intent});

-- name: lock_proposals
-- Proposals to decide. Locked in the order of their ids, so that of two decisions the second one sees the first.
SELECT {proposal}
FROM operators.proposal
WHERE id = ANY ($1::uuid [])
ORDER BY id
FOR UPDATE;

-- name: decide_proposals
-- The decisions. An open proposal is decided once.
UPDATE operators.proposal AS p
SET ({proposal_decision}) = ROW ({d.proposal_decision}), decided_at = :decided_at
FROM unnest(:proposal_id::uuid [], {proposal_decision[]}) AS d (id, {proposal_decision})
WHERE p.id = d.id AND p.state = 'open';

-- name: void_proposals
-- The open proposals of somebody who is disabled, in the order of their ids.
WITH held AS (
    SELECT id FROM operators.proposal
    WHERE maker_id = :maker_id AND state = 'open' AND expires_at > :now
    ORDER BY id FOR UPDATE
),
void AS (
    UPDATE operators.proposal AS p SET state = 'void', decision_reason = :reason, decided_at = :now
    FROM held AS h WHERE p.id = h.id
    RETURNING p.id AS proposal_id, p.action, p.object_kind, p.object_id
)
SELECT v.proposal_id, v.action, v.object_kind, v.object_id FROM void AS v ORDER BY v.proposal_id;

-- name: find_proposal
-- The current state of one proposal.
SELECT {proposal}
FROM operators.proposal
WHERE id = $1;

-- name: list_proposals
-- Proposals, newest first; on request only those that can still be decided.
SELECT {proposal}
FROM operators.proposal
WHERE (:after::uuid IS NULL OR id < :after)
    AND (NOT :open_only::boolean OR (state = 'open' AND expires_at > :now))
ORDER BY id DESC
LIMIT :limit;
