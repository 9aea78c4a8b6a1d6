-- columns: catch_up
id AS catch_up_id, epoch, reason, begun_at, prepared_at, lost_since

-- name: open_catch_up
-- The catch-up that has not ended.
SELECT {catch_up}
FROM db.catch_up
WHERE finished_at IS NULL;

-- name: begin_catch_up
-- Begin an epoch and its catch-up; an open one ends. The lost time begins when this machine last raised the mark: its own
-- row is older than the restore, since it notices at its first raise. Another's may not be, but that of a backup is.
SELECT db.begin_catch_up(
    $1, $2,
    coalesce($3, (SELECT max(m.raised_at) FROM db.machine AS m WHERE m.machine_id = $4 OR $1 = 'backup'))
);

-- name: mark_prepared
-- What a catch-up begins with is done.
UPDATE db.catch_up
SET prepared_at = $2
WHERE id = $1;

-- name: finish_catch_up
-- Normal work begins.
UPDATE db.catch_up
SET finished_at = $1, finished_by = $2, finish_reason = $3
WHERE finished_at IS NULL AND id = coalesce($4, id)
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

-- name: raise_machine
-- When a machine last raised the mark.
INSERT INTO db.machine (machine_id, raised_at)
VALUES ($1, $2)
ON CONFLICT (machine_id) DO UPDATE SET raised_at = EXCLUDED.raised_at;
