-- columns: item
-- A line item with each party's share of its price.
item_id text, name text, quantity integer, amount_minor bigint, payer_minor bigint, merchant_minor bigint,
platform_minor bigint, channel_minor bigint

-- columns: discount
-- A discount and its funder.
name text, funder text, amount_minor bigint, item_id text

-- name: insert_items
-- Inserts the line items of new payments.
INSERT INTO payments.item (payment_id, position, {item})
SELECT n.payment_id, n.position, {n.item}
FROM unnest(:payment_id::uuid [], :position::smallint [], {item[]}) AS n (payment_id, position, {item});

-- name: insert_discounts
-- Inserts the discounts of new payments.
INSERT INTO payments.discount (payment_id, position, {discount})
SELECT n.payment_id, n.position, {n.discount}
FROM unnest(:payment_id::uuid [], :position::smallint [], {discount[]}) AS n (payment_id, position, {discount});

-- name: items_of_payments
-- The line items of some payments, in the order of the request.
SELECT payment_id, {item}
FROM payments.item
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, position;

-- name: discounts_of_payments
-- The discounts of some payments, in the order of the request.
SELECT payment_id, {discount}
FROM payments.discount
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, position;
