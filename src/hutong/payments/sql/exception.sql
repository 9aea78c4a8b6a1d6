-- columns: exception_news
-- What is known when it is first seen.
account_id uuid, digest bytea, kind text, about text, number text, payment_id uuid, attempt_id uuid, refund_id uuid,
source text, state text, amount_minor bigint, currency text, expected_minor bigint, expected_currency text,
channel_order_no text, happened_at timestamptz, reason text, paid_minor bigint, settled_minor bigint

-- columns: exception
id AS exception_id, {exception_news}, first_seen_at, last_seen_at, seen, status, decided_at, decided_by,
decision_reason

-- name: keep_exceptions
-- Each thing once, however often it is reported. The first message is kept. In one order, so that batches never deadlock.
INSERT INTO payments.exception AS e (id, message, first_seen_at, last_seen_at, seen, status, {exception_news})
SELECT DISTINCT ON (n.account_id, n.digest) n.id, n.message, :at::timestamptz, :at::timestamptz,
    count(*) OVER (PARTITION BY n.account_id, n.digest), 'open', {n.exception_news}
FROM unnest(:exception_id::uuid [], :message::bytea [], {exception_news[]}) AS n (id, message, {exception_news})
ORDER BY n.account_id, n.digest
ON CONFLICT (account_id, digest) DO UPDATE
    SET seen = e.seen + EXCLUDED.seen, last_seen_at = greatest(e.last_seen_at, EXCLUDED.last_seen_at)
RETURNING e.id, e.account_id, e.digest, e.kind, e.seen = (
    SELECT count(*) FROM unnest(:account_id::uuid [], :digest::bytea []) AS n (account_id, digest)
    WHERE n.account_id = e.account_id AND n.digest = e.digest
) AS is_new;

-- name: list_exceptions
-- A page of exceptions, newest first.
SELECT {exception} FROM payments.exception
WHERE (:before::uuid IS NULL OR id < :before) AND (:status::text IS NULL OR status = :status)
    AND (:kind::text IS NULL OR kind = :kind) AND (:payment_id::uuid IS NULL OR payment_id = :payment_id)
ORDER BY id DESC LIMIT :limit;

-- name: find_exception
-- One exception.
SELECT {exception} FROM payments.exception WHERE id = $1;

-- name: lock_exception
-- One exception, for its decision; its payment is locked already.
SELECT {exception} FROM payments.exception WHERE id = $1 FOR UPDATE;

-- name: exception_message
-- The sealed message that brought it; null for an answer to a query.
SELECT message FROM payments.exception WHERE id = $1;

-- name: decide_exception
-- The decision, once; what was ignored about a refund may still be decided.
UPDATE payments.exception
SET status = $2, decided_at = $3, decided_by = $4, decision_reason = $5
WHERE id = $1 AND status IN ('open', 'ignored');

-- name: count_open_exceptions
-- How many wait for a decision, by kind.
SELECT kind, count(*) FROM payments.exception WHERE status = 'open' GROUP BY kind;

-- name: unknown_exceptions
-- The reports of an account about numbers that nothing here has.
SELECT {exception} FROM payments.exception
WHERE account_id = $1 AND status = 'open' AND kind = 'unknown_number'
ORDER BY id;

-- name: take_over_exceptions
-- Exceptions that something else has in hand now; in one order, so that two never wait for each other.
UPDATE payments.exception AS e
SET status = 'matched', decided_at = :at, decided_by = :by, decision_reason = u.reason
FROM (
    SELECT x.id, x.reason FROM unnest(:exception_ids::uuid [], :reasons::text []) AS x (id, reason)
    JOIN payments.exception AS l ON l.id = x.id ORDER BY l.id FOR UPDATE OF l
) AS u
WHERE e.id = u.id AND e.status = 'open';
