-- name: start_trial
-- No row comes back while another one runs.
INSERT INTO routing.trial (id, document, digest, version, share, guardrail, started_at, proposal_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: end_trial
-- The one that runs, once.
UPDATE routing.trial
SET ended_at = $1, end_reason = $2
WHERE ended_at IS NULL
RETURNING id, document, digest, version, share, guardrail, started_at, ended_at, end_reason;

-- name: running_trial
-- The cheap look that tells whether there is one.
SELECT id
FROM routing.trial
WHERE ended_at IS NULL;

-- name: find_trial
-- One trial.
SELECT id, document, digest, version, share, guardrail, started_at, ended_at, end_reason
FROM routing.trial
WHERE id = $1;

-- name: latest_trial
-- The last one, of a draft if its digest is given.
SELECT id, document, digest, version, share, guardrail, started_at, ended_at, end_reason
FROM routing.trial
WHERE $1::text IS NULL OR digest = $1
ORDER BY started_at DESC, id DESC
LIMIT 1;

-- name: add_outcomes
-- In one order, so that processes never wait crosswise.
INSERT INTO routing.trial_outcome AS o (
    trial_id, arm, currency, ended, succeeded, captured_minor, cost_ten_thousandths
)
SELECT n.trial_id, n.arm, n.currency, n.ended, n.succeeded, n.captured_minor, n.cost_ten_thousandths
FROM unnest($1::uuid [], $2::text [], $3::text [], $4::bigint [], $5::bigint [], $6::bigint [], $7::bigint [])
    AS n (trial_id, arm, currency, ended, succeeded, captured_minor, cost_ten_thousandths)
ORDER BY n.trial_id, n.arm, n.currency
ON CONFLICT (trial_id, arm, currency) DO UPDATE
SET ended = o.ended + excluded.ended, succeeded = o.succeeded + excluded.succeeded,
    captured_minor = o.captured_minor + excluded.captured_minor,
    cost_ten_thousandths = o.cost_ten_thousandths + excluded.cost_ten_thousandths;

-- name: trial_outcomes
-- What has come of both arms so far.
SELECT arm, currency, ended, succeeded, captured_minor, cost_ten_thousandths
FROM routing.trial_outcome
WHERE trial_id = $1
ORDER BY arm, currency;
