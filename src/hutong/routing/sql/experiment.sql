-- columns: experiment
id AS experiment_id, document, version, share, guardrail, started_at, ended_at, end_reason

-- columns: outcome
ended bigint, succeeded bigint, captured_minor bigint, cost_ten_thousandths bigint

-- name: start_experiment
-- No row comes back while another experiment is running.
INSERT INTO routing.trial (id, document, digest, version, share, guardrail, started_at, proposal_id)
VALUES (:experiment_id, :document, :digest, :version, :share, :guardrail, :started_at, :proposal_id)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: end_experiment
-- The running experiment, which ends once.
UPDATE routing.trial
SET ended_at = $1, end_reason = $2
WHERE ended_at IS NULL
RETURNING {experiment}, digest;

-- name: running_experiment
-- A cheap check whether an experiment is running.
SELECT id
FROM routing.trial
WHERE ended_at IS NULL;

-- name: find_experiment
-- One experiment.
SELECT {experiment}
FROM routing.trial
WHERE id = $1;

-- name: latest_experiment
-- The latest experiment; the latest one of a draft if the draft's digest is given.
SELECT {experiment}
FROM routing.trial
WHERE $1::text IS NULL OR digest = $1
ORDER BY started_at DESC, id DESC
LIMIT 1;

-- name: add_outcomes
-- In one order, so that processes never wait for each other crosswise.
INSERT INTO routing.trial_outcome AS o (trial_id, arm, currency, {outcome})
SELECT n.trial_id, n.arm, n.currency, {n.outcome}
FROM unnest(:experiment_id::uuid [], :arm::text [], :currency::text [], {outcome[]})
    AS n (trial_id, arm, currency, {outcome})
ORDER BY n.trial_id, n.arm, n.currency
ON CONFLICT (trial_id, arm, currency) DO UPDATE
SET ended = o.ended + excluded.ended, succeeded = o.succeeded + excluded.succeeded,
    captured_minor = o.captured_minor + excluded.captured_minor,
    cost_ten_thousandths = o.cost_ten_thousandths + excluded.cost_ten_thousandths;

-- name: experiment_outcomes
-- The outcomes of both arms so far.
SELECT arm, currency, {outcome}
FROM routing.trial_outcome
WHERE trial_id = $1
ORDER BY arm, currency;
