-- columns: timeline_entry
payment_id uuid, what text, attempt_id uuid, source text, channel_code text, amount_minor bigint, note text

-- name: write_timeline
-- Appends entries in the order in which they were decided; rows are never changed.
INSERT INTO payments.timeline (at, {timeline_entry})
SELECT :at::timestamptz, {n.timeline_entry}
FROM unnest({timeline_entry[]}) WITH ORDINALITY AS n ({timeline_entry}, position)
ORDER BY n.position;

-- name: read_timeline
-- The timelines of some payments, first to last.
SELECT at, {timeline_entry}
FROM payments.timeline
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, id;
