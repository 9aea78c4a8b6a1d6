-- depends: merchants-0005.settings

-- What a key may be used for, and until when; a key without scopes may do everything.
ALTER TABLE merchants.api_key
ADD COLUMN scopes text [] CHECK (cardinality(scopes) > 0),
ADD COLUMN expires_at timestamptz;

-- The journal states both of each key, so that one that was widened past it is seen.
INSERT INTO operators.audit (at, action, object_kind, object_id, reason, after)
SELECT now(), 'api_key.record', 'api_key', db.type_id('key', k.id), 'as it was when keys got scopes',
    jsonb_build_object(
        'merchant_id', db.type_id('mer', k.merchant_id), 'key', encode(sha256(k.hash), 'hex'),
        'scopes', 'all', 'expires_at', NULL
    )
FROM merchants.api_key k ORDER BY k.id;
