-- name: write_timeline
-- What has happened, in the order in which it was decided; rows are never changed.
INSERT INTO payments.timeline (payment_id, at, what, attempt_id, source, channel_code, amount_minor, note)
SELECT n.payment_id, $1::timestamptz, n.what, n.attempt_id, n.source, n.channel_code, n.amount_minor, n.note
FROM unnest($2::uuid [], $3::text [], $4::uuid [], $5::text [], $6::text [], $7::bigint [], $8::text [])
    WITH ORDINALITY AS n (payment_id, what, attempt_id, source, channel_code, amount_minor, note, position)
ORDER BY n.position;

-- name: read_timeline
-- The story of some payments, first to last.
SELECT payment_id, at, what, attempt_id, source, channel_code, amount_minor, note
FROM payments.timeline
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, id;
