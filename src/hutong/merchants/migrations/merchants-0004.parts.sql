-- depends: merchants-0003.refund_fee operators-0002.parts

-- Only commands make merchants and their keys.
REVOKE INSERT ON merchants.merchant, merchants.api_key FROM hutong_app;
REVOKE UPDATE (revoked_at) ON merchants.api_key FROM hutong_app;
GRANT INSERT ON merchants.merchant, merchants.api_key TO hutong_console;
GRANT UPDATE (revoked_at) ON merchants.api_key TO hutong_console;

-- The journal states each key, so that one that was written past it is seen. It has the hash of the kept hash.
INSERT INTO operators.audit (at, action, object_kind, object_id, reason, after)
SELECT now(), 'api_key.record', 'api_key', db.type_id('key', k.id), 'as it was when journals began to state keys',
    jsonb_build_object('merchant_id', db.type_id('mer', k.merchant_id), 'key', encode(sha256(k.hash), 'hex'))
FROM merchants.api_key k ORDER BY k.id;
INSERT INTO operators.audit (at, action, object_kind, object_id, reason)
SELECT now(), 'api_key.revoke', 'api_key', db.type_id('key', k.id), 'as it was when journals began to state keys'
FROM merchants.api_key k WHERE k.revoked_at IS NOT NULL ORDER BY k.id;
