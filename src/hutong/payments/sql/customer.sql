-- name: put_customers
-- Only what changes is written and returned. Instants are whole milliseconds, as events tell them, and never repeat.
INSERT INTO payments.customer AS c (merchant_id, customer_id, object_id, name, avatar, updated_at, event_id)
SELECT n.merchant_id, n.customer_id, n.object_id, n.name, n.avatar, date_trunc('milliseconds', $7::timestamptz),
    n.event_id
FROM unnest($1::uuid [], $2::text [], $3::uuid [], $4::text [], $5::text [], $6::uuid [])
    AS n (merchant_id, customer_id, object_id, name, avatar, event_id)
ORDER BY n.merchant_id, n.customer_id COLLATE "C"
ON CONFLICT (merchant_id, customer_id) DO UPDATE SET
    name = EXCLUDED.name, avatar = EXCLUDED.avatar, event_id = EXCLUDED.event_id,
    updated_at = greatest(EXCLUDED.updated_at, c.updated_at + INTERVAL '1 ms')
WHERE (c.name, c.avatar) IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.avatar)
RETURNING merchant_id, customer_id, object_id, name, avatar, updated_at, event_id;

-- name: find_customers
-- What is known of some customers.
SELECT c.merchant_id, c.customer_id, c.name, c.avatar, c.updated_at
FROM payments.customer AS c
JOIN unnest($1::uuid [], $2::text []) AS w (merchant_id, customer_id) USING (merchant_id, customer_id);

-- name: stream_customers
-- Every customer that was told of outside of orders.
SELECT c.merchant_id, c.customer_id, c.name, c.avatar, c.updated_at, c.event_id
FROM payments.customer AS c
ORDER BY c.merchant_id, c.customer_id;
