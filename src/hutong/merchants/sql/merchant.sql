-- name: insert_merchant
-- A merchant as registered.
INSERT INTO merchants.merchant (id, name, fee_ppm, return_origins, created_at, payment_validity, returns_fee)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: insert_api_key
-- The hash alone is kept; the key itself is shown once. Writes nothing for a merchant that does not exist.
INSERT INTO merchants.api_key (id, merchant_id, hash, created_at)
SELECT $1, m.id, $3, $4
FROM merchants.merchant AS m
WHERE m.id = $2;

-- name: revoke_api_key
-- Revoking again keeps the first time.
UPDATE merchants.api_key
SET revoked_at = coalesce(revoked_at, $2)
WHERE id = $1;

-- name: authenticate
-- The owner of a live key.
SELECT m.id, m.name, m.fee_ppm, m.return_origins, m.enabled, m.payment_validity, m.returns_fee
FROM merchants.api_key AS k
JOIN merchants.merchant AS m ON m.id = k.merchant_id
WHERE k.hash = $1 AND k.revoked_at IS NULL AND m.enabled;

-- name: find_merchants
-- Merchants by id, for names on the cashier and for fees.
SELECT id, name, fee_ppm, return_origins, enabled, payment_validity, returns_fee
FROM merchants.merchant
WHERE id = ANY ($1::uuid []);
