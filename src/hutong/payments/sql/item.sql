-- name: insert_items
-- What was bought, with each party's part of its price.
INSERT INTO payments.item (
    payment_id, position, item_id, name, quantity, amount_minor, payer_minor, merchant_minor, platform_minor,
    channel_minor
)
SELECT n.payment_id, n.position, n.item_id, n.name, n.quantity, n.amount_minor, n.payer_minor, n.merchant_minor,
    n.platform_minor, n.channel_minor
FROM unnest(
    $1::uuid [], $2::smallint [], $3::text [], $4::text [], $5::integer [], $6::bigint [], $7::bigint [],
    $8::bigint [], $9::bigint [], $10::bigint []
) AS n (
    payment_id, position, item_id, name, quantity, amount_minor, payer_minor, merchant_minor, platform_minor,
    channel_minor
);

-- name: insert_discounts
-- What was taken off, and who bears it.
INSERT INTO payments.discount (payment_id, position, name, funder, amount_minor, item_id)
SELECT n.payment_id, n.position, n.name, n.funder, n.amount_minor, n.item_id
FROM unnest($1::uuid [], $2::smallint [], $3::text [], $4::text [], $5::bigint [], $6::text [])
    AS n (payment_id, position, name, funder, amount_minor, item_id);

-- name: items_of_payments
-- The items of some payments, in the order in which they were named.
SELECT payment_id, item_id, name, quantity, amount_minor, payer_minor, merchant_minor, platform_minor, channel_minor
FROM payments.item
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, position;

-- name: discounts_of_payments
-- The discounts of some payments, in the order in which they were named.
SELECT payment_id, name, funder, amount_minor, item_id
FROM payments.discount
WHERE payment_id = ANY ($1::uuid [])
ORDER BY payment_id, position;
