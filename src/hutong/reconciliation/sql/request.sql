-- columns: run_request
id AS request_id, account_id, day, requested_at, requested_by, next_at, failures, stage, error, done_at

-- name: add_request
-- An open request of the same day counts as made now: what its day stands on has changed since.
INSERT INTO reconciliation.run_request (id, account_id, day, requested_at, requested_by, next_at)
VALUES (:request_id, :account_id, :day, :at, :by, :at)
ON CONFLICT (account_id, day) WHERE done_at IS NULL
DO UPDATE SET requested_at = excluded.requested_at, next_at = excluded.next_at
RETURNING {run_request};

-- name: list_requests
-- The last that was made first.
SELECT {q.run_request}
FROM reconciliation.run_request AS q
WHERE NOT :open_only::boolean OR q.done_at IS NULL
ORDER BY q.id DESC
LIMIT :limit;

-- name: find_request
-- One request, by its id.
SELECT {q.run_request}
FROM reconciliation.run_request AS q
WHERE q.id = $1;

-- name: due_requests
-- Of each account the earliest day, since a day stands on the one before.
SELECT DISTINCT ON (q.account_id) {q.run_request}
FROM reconciliation.run_request AS q
WHERE q.done_at IS NULL AND q.next_at <= $1
ORDER BY q.account_id, q.day;

-- name: set_stage
-- How far a request is.
UPDATE reconciliation.run_request
SET stage = $2
WHERE id = $1;

-- name: end_request
-- Unless the same day was requested again meanwhile.
UPDATE reconciliation.run_request
SET done_at = :at, error = NULL, stage = NULL
WHERE id = :request_id AND requested_at = :requested_at;

-- name: put_off_request
-- A request whose run has failed, until its next run.
UPDATE reconciliation.run_request
SET failures = failures + 1, error = :error, stage = NULL, next_at = :next_at
WHERE id = :request_id;
