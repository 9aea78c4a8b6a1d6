-- columns: merchant
id AS merchant_id, name, fee_ppm, return_origins, enabled, payment_validity, returns_fee

-- name: insert_merchant
-- A new merchant.
INSERT INTO merchants.merchant
    (id, name, fee_ppm, return_origins, enabled, payment_validity, returns_fee, created_at)
VALUES
    (:merchant_id, :name, :fee_ppm, :return_origins, :enabled, :payment_validity, :returns_fee, :created_at);

-- name: insert_api_key
-- Only the hash is kept; the key itself is shown once. Writes nothing if the merchant does not exist.
INSERT INTO merchants.api_key (id, merchant_id, hash, created_at)
SELECT $1, m.id, $3, $4
FROM merchants.merchant AS m
WHERE m.id = $2;

-- name: revoke_api_key
-- A repeated revocation keeps the first time.
UPDATE merchants.api_key
SET revoked_at = coalesce(revoked_at, $2)
WHERE id = $1;

-- name: registered_keys
-- All keys with their hashes, to be compared with the audit journal.
SELECT id, merchant_id, hash, revoked_at
FROM merchants.api_key;

-- name: authenticate
-- The enabled merchant of a key that is not revoked.
SELECT {m.merchant}
FROM merchants.api_key AS k
JOIN merchants.merchant AS m ON m.id = k.merchant_id
WHERE k.hash = $1 AND k.revoked_at IS NULL AND m.enabled;

-- name: find_merchants
-- Merchants by id, for the names on the cashier and for fees.
SELECT {merchant}
FROM merchants.merchant
WHERE id = ANY ($1::uuid []);
