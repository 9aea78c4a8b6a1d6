-- columns: decision
attempt_id uuid, payment_id uuid, account_id uuid, decided_at timestamptz, record jsonb

-- name: add_decisions
-- Written in the transaction that writes the attempts.
INSERT INTO routing.decision ({decision})
SELECT {n.decision}
FROM unnest({decision[]}) AS n ({decision});

-- name: find_decisions
-- The decisions of these attempts, first to last.
SELECT {decision}
FROM routing.decision
WHERE attempt_id = ANY ($1::uuid [])
ORDER BY decided_at, attempt_id;

-- name: decisions_between
-- The decisions of a span of time, in its order.
SELECT {decision}
FROM routing.decision
WHERE decided_at >= $1 AND decided_at < $2
ORDER BY decided_at, attempt_id;

-- name: add_capability_snapshot
-- Capabilities change seldom, and every process has the same.
INSERT INTO routing.basis (digest, document, first_used_at)
VALUES ($1, $2, $3)
ON CONFLICT (digest) DO NOTHING;

-- name: find_capability_snapshots
-- The capabilities of accounts when decisions were made.
SELECT digest, document
FROM routing.basis
WHERE digest = ANY ($1::text []);
