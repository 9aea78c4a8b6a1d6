-- columns: catch_up
id AS catch_up_id, epoch, reason, begun_at, prepared_at

-- name: open_catch_up
-- The catch-up that has not ended.
SELECT {catch_up}
FROM db.catch_up
WHERE finished_at IS NULL;

-- name: begin_catch_up
-- Begin an epoch and its catch-up; an open one ends.
SELECT db.begin_catch_up($1, $2);

-- name: mark_prepared
-- What a catch-up begins with is done.
UPDATE db.catch_up
SET prepared_at = $2
WHERE id = $1;

-- name: finish_catch_up
-- Normal work begins.
UPDATE db.catch_up
SET finished_at = $1, finished_by = $2, finish_reason = $3
WHERE finished_at IS NULL
RETURNING {catch_up};

-- name: lock_high_water
-- The installation and its mark; one process at a time compares and raises it.
SELECT installation, mark
FROM db.high_water
FOR UPDATE;

-- name: raise_high_water
-- The mark rises.
UPDATE db.high_water
SET mark = $1;
