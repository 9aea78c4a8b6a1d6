-- columns: payment_link
id AS link_id, merchant_id, subject, currency, least_minor, most_minor, created_at, disabled_at

-- name: insert_payment_link
-- A new link. Writes nothing if the merchant does not exist.
INSERT INTO merchants.payment_link (id, merchant_id, subject, currency, least_minor, most_minor, created_at)
SELECT :link_id, m.id, :subject, :currency, :least_minor, :most_minor, :created_at
FROM merchants.merchant AS m
WHERE m.id = :merchant_id;

-- name: disable_payment_link
-- The first time stays.
UPDATE merchants.payment_link
SET disabled_at = coalesce(disabled_at, $2)
WHERE id = $1
RETURNING id;

-- name: find_payment_link
-- One link, disabled or not.
SELECT {payment_link}
FROM merchants.payment_link
WHERE id = $1;

-- name: list_payment_links
-- The links of a merchant, oldest first.
SELECT {payment_link}
FROM merchants.payment_link
WHERE merchant_id = $1
ORDER BY created_at, id;
