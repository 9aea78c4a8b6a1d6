-- columns: merchant_settings
name text, fee_ppm integer, payment_validity interval, returns_fee boolean, color text, switching text,
disabled_at timestamptz

-- columns: merchant
id AS merchant_id, {merchant_settings}, return_origins, methods, logo

-- name: insert_merchant
-- A new merchant.
INSERT INTO merchants.merchant
    (id, name, fee_ppm, return_origins, payment_validity, returns_fee, created_at)
VALUES
    (:merchant_id, :name, :fee_ppm, :return_origins, :payment_validity, :returns_fee, :created_at);

-- name: lock_merchant
-- A merchant whose settings are about to change.
SELECT {merchant}
FROM merchants.merchant
WHERE id = $1
FOR UPDATE;

-- name: update_merchant
-- The settings of a merchant that the caller has locked.
UPDATE merchants.merchant
SET name = :name,
    fee_ppm = :fee_ppm,
    return_origins = :return_origins,
    payment_validity = :payment_validity,
    returns_fee = :returns_fee,
    disabled_at = :disabled_at,
    color = :color,
    methods = :methods,
    switching = :switching
WHERE id = :merchant_id;

-- name: set_logo
-- The picture of a merchant that the caller has locked; without one both are null. Returns its hash.
UPDATE merchants.merchant
SET logo_media_type = $2,
    logo_content = $3
WHERE id = $1
RETURNING logo;

-- name: find_logo
-- A merchant's picture by the hash of its content; merchants with the same one share it.
SELECT logo_media_type, logo_content
FROM merchants.merchant
WHERE logo = $1
LIMIT 1;

-- columns: api_key
id AS key_id, merchant_id, scopes, created_at, expires_at, revoked_at

-- name: insert_api_key
-- Only the hash is kept; the key itself is shown once. Writes nothing if the merchant does not exist.
INSERT INTO merchants.api_key (id, merchant_id, hash, created_at, scopes, expires_at)
SELECT :key_id, m.id, :hash, :created_at, :scopes, :expires_at
FROM merchants.merchant AS m
WHERE m.id = :merchant_id;

-- name: revoke_api_key
-- A repeated revocation keeps the first time.
UPDATE merchants.api_key
SET revoked_at = coalesce(revoked_at, $2)
WHERE id = $1;

-- name: list_api_keys
-- The keys of merchants, oldest first.
SELECT {api_key}
FROM merchants.api_key
WHERE merchant_id = ANY ($1::uuid [])
ORDER BY created_at, id;

-- name: registered_keys
-- All keys with their hashes, to be compared with the audit journal.
SELECT id, merchant_id, hash, scopes, expires_at, revoked_at
FROM merchants.api_key;

-- name: authenticate
-- The merchant of a key that is not revoked, and what the key may be used for.
SELECT {m.merchant}, k.scopes, k.expires_at
FROM merchants.api_key AS k
JOIN merchants.merchant AS m ON m.id = k.merchant_id
WHERE k.hash = $1 AND k.revoked_at IS NULL;

-- name: find_merchants
-- Merchants by id, for the names on the cashier and for fees.
SELECT {merchant}
FROM merchants.merchant
WHERE id = ANY ($1::uuid []);

-- name: list_merchants
-- Merchants, those registered last first; by a part of the name if one is given.
SELECT {merchant}
FROM merchants.merchant
WHERE :part::text IS NULL OR strpos(lower(name), lower(:part)) > 0
ORDER BY created_at DESC, id DESC
LIMIT :limit;
