-- name: list_lost_bills
-- What is known of the bills of a catch-up: whether one is still wanted, and how fetching it went.
SELECT account_id, day, read_at IS NULL AND dismissed_at IS NULL AS is_wanted, fetches, next_at, error
FROM payments.lost_bill
WHERE catch_up_id = $1;

-- name: claim_lost_bill
-- Begin to fetch a bill, unless it was read or dismissed, or another process fetches it. The claim is the time of the next
-- one, so that a process that dies loses nothing.
INSERT INTO payments.lost_bill AS b (catch_up_id, account_id, day, fetches, next_at)
VALUES (:catch_up_id, :account_id, :day, 1, :until)
ON CONFLICT (catch_up_id, account_id, day) DO UPDATE
    SET fetches = b.fetches + 1, next_at = EXCLUDED.next_at
    WHERE b.read_at IS NULL AND b.dismissed_at IS NULL AND (b.next_at IS NULL OR b.next_at <= :now)
RETURNING fetches;

-- name: fail_lost_bill
-- The bill could not be read; it is fetched again later.
UPDATE payments.lost_bill
SET next_at = :next_at, error = :error
WHERE catch_up_id = :catch_up_id AND account_id = :account_id AND day = :day AND read_at IS NULL;

-- name: keep_lost_bill
-- A bill was read whole.
INSERT INTO payments.lost_bill AS b (catch_up_id, account_id, day, read_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (catch_up_id, account_id, day) DO UPDATE
    SET read_at = coalesce(b.read_at, EXCLUDED.read_at), next_at = NULL, error = NULL;

-- name: dismiss_lost_bill
-- A person has decided to do without a bill.
INSERT INTO payments.lost_bill AS b (catch_up_id, account_id, day, dismissed_at, dismissed_by, dismiss_reason)
VALUES (:catch_up_id, :account_id, :day, :now, :by, :reason)
ON CONFLICT (catch_up_id, account_id, day) DO UPDATE
    SET dismissed_at = EXCLUDED.dismissed_at, dismissed_by = EXCLUDED.dismissed_by,
        dismiss_reason = EXCLUDED.dismiss_reason
    WHERE b.read_at IS NULL AND b.dismissed_at IS NULL
RETURNING day;
