-- columns: bill_exception
-- What a row that could not be read has of its own.
line_no integer, reason text, text text

-- name: keep_bill_exceptions
-- The rows of a bill that could not be read. The file of a day does not change once it is made, so the first record stays.
INSERT INTO channels.bill_exception (account_id, kind, day, found_at, {bill_exception})
SELECT :account_id, :kind, :day, :found_at, {e.bill_exception}
FROM unnest({bill_exception[]}) AS e ({bill_exception})
ON CONFLICT (account_id, kind, day, line_no) DO NOTHING;

-- name: list_bill_exceptions
-- For people, the latest days first.
SELECT e.account_id, a.channel, a.name AS account, e.kind, e.day, e.line_no, e.reason, e.text, e.found_at
FROM channels.bill_exception AS e
INNER JOIN channels.account AS a ON a.id = e.account_id
WHERE ($1::uuid IS NULL OR e.account_id = $1) AND ($2::date IS NULL OR e.day = $2)
ORDER BY e.day DESC, e.account_id, e.kind, e.line_no
LIMIT $3;
