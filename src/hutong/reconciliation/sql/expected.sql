-- name: read_one_state
-- Everything that the transaction reads is of one state of the database, and it changes nothing.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
