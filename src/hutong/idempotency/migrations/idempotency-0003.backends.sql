-- depends: idempotency-0002.cured

-- The number of the server process of the connection that made a claim; it ends with the process that it works for.
-- Without one a claim is held for its time, and so it is if the number has been given to another process since.
ALTER TABLE idempotency.key ADD COLUMN claimed_through integer;

ALTER TABLE idempotency.key ALTER COLUMN claimed_through SET DEFAULT pg_backend_pid();
