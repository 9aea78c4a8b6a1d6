-- columns: came_in
-- What is known of a file before it is read.
source text, account_id uuid, layout text, day date, name text, sha256 text, size bigint,
is_whole boolean, received_at timestamptz

-- columns: bill_file
id AS file_id, {came_in}, state, rows, exceptions, totals, reason, replaced_by

-- name: list_files
-- The last that came in first.
SELECT {f.bill_file}
FROM reconciliation.file AS f
WHERE
    (:account_id::uuid IS NULL OR f.account_id = :account_id)
    AND (:day::date IS NULL OR f.day = :day)
    AND (:state::text IS NULL OR f.state = :state)
    AND (:before::uuid IS NULL OR f.id < :before)
ORDER BY f.id DESC
LIMIT :limit;

-- name: find_file
-- One file, by its id.
SELECT {f.bill_file}
FROM reconciliation.file AS f
WHERE f.id = $1;

-- name: find_same_file
-- The file with the same content, whatever its name was.
SELECT {f.bill_file}
FROM reconciliation.file AS f
WHERE f.account_id = :account_id AND f.layout = :layout AND f.sha256 = :sha256;

-- name: add_files
-- Files that came in, each once by its content.
INSERT INTO reconciliation.file (id, state, {came_in})
SELECT f.file_id, 'received', {f.came_in}
FROM unnest(:file_id::uuid[], {came_in[]}) AS f (file_id, {came_in})
ON CONFLICT (account_id, layout, sha256) DO NOTHING;

-- name: read_again
-- A file that was refused is read once more: its day was wrong, or its layout has been mended.
UPDATE reconciliation.file
SET state = 'received', day = :day, reason = NULL
WHERE id = :file_id AND state = 'refused';

-- name: files_that_count
-- The files whose rows count on a day, in the order in which they came in.
SELECT {f.bill_file}
FROM reconciliation.file AS f
WHERE f.account_id = $1 AND f.day = $2 AND f.state IN ('parsed', 'matched', 'closed')
ORDER BY f.id;

-- name: lock_files_of_day
-- Who reads a file decides about the others of its day: one at a time.
SELECT f.id, f.state
FROM reconciliation.file AS f
WHERE f.account_id = $1 AND f.day = $2
ORDER BY f.id
FOR UPDATE;

-- name: unread_files
-- Files that nobody has read yet, the first first.
SELECT f.id, f.account_id
FROM reconciliation.file AS f
WHERE f.state = 'received'
ORDER BY f.id;

-- name: set_read
-- What reading a file has come to.
UPDATE reconciliation.file
SET
    state = :state, rows = :readable, exceptions = :exceptions, totals = :totals, reason = :reason,
    replaced_by = :replaced_by
WHERE id = :file_id AND state = 'received'
RETURNING id;

-- name: replace_files
-- The files that a later one corrects.
UPDATE reconciliation.file
SET state = 'replaced', replaced_by = :by
WHERE id = ANY (:file_ids::uuid[]);

-- name: mark_matched
-- The files whose rows a run has matched.
UPDATE reconciliation.file
SET state = 'matched'
WHERE id = ANY ($1::uuid[]) AND state = 'parsed';
