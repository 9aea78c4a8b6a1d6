-- name: put_customers
-- Only changes are written and returned. Instants are whole milliseconds, as in events, and never repeat.
INSERT INTO customers.customer AS c (merchant_id, customer_id, object_id, name, avatar, updated_at, event_id)
SELECT n.merchant_id, n.customer_id, n.object_id, n.name, n.avatar, date_trunc('milliseconds', :now::timestamptz),
    n.event_id
FROM unnest(
    :merchant_id::uuid [], :customer_id::text [], :object_id::uuid [], :name::text [], :avatar::text [],
    :event_id::uuid []
) AS n (merchant_id, customer_id, object_id, name, avatar, event_id)
ORDER BY n.merchant_id, n.customer_id COLLATE "C"
ON CONFLICT (merchant_id, customer_id) DO UPDATE SET
    name = EXCLUDED.name, avatar = EXCLUDED.avatar, event_id = EXCLUDED.event_id,
    updated_at = greatest(EXCLUDED.updated_at, c.updated_at + INTERVAL '1 ms')
WHERE (c.name, c.avatar) IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.avatar)
RETURNING merchant_id, customer_id, object_id, name, avatar, updated_at, event_id;

-- name: find_customers
-- The current profiles of some customers.
SELECT c.merchant_id, c.customer_id, c.name, c.avatar, c.updated_at
FROM customers.customer AS c
JOIN unnest($1::uuid [], $2::text []) AS w (merchant_id, customer_id) USING (merchant_id, customer_id);

-- name: find_customer
-- The profile that one customer was given outside of orders.
SELECT c.customer_id, c.name, c.avatar, c.updated_at
FROM customers.customer AS c
WHERE c.merchant_id = $1 AND c.customer_id = $2;

-- name: stream_customers
-- Every customer with a profile that was set outside of orders.
SELECT c.merchant_id, c.customer_id, c.name, c.avatar, c.updated_at, c.event_id
FROM customers.customer AS c
ORDER BY c.merchant_id, c.customer_id;
