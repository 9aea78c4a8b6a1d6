-- name: adopted_keys
-- The keys that hold for the present version of an account, newest first.
SELECT k.account_id, k.version, k.key_id
FROM channels.adopted_key AS k
JOIN channels.account AS a ON a.id = k.account_id AND a.version = k.version
ORDER BY k.account_id, k.adopted_at DESC, k.key_id;

-- name: load_adopted_keys
-- The sealed texts of keys that a process does not hold yet.
SELECT k.account_id, k.key_id, k.version, k.pem_sealed
FROM channels.adopted_key AS k
JOIN unnest(:account_id::uuid [], :key_id::text []) AS w (account_id, key_id)
    ON w.account_id = k.account_id AND w.key_id = k.key_id;

-- name: store_adopted_keys
-- Keys that a process has verified. Another process may have stored the same one.
INSERT INTO channels.adopted_key AS k (account_id, key_id, version, pem_sealed, adopted_at)
SELECT n.account_id, n.key_id, n.version, n.pem_sealed, :adopted_at::timestamptz
FROM unnest(:account_id::uuid [], :key_id::text [], :version::bigint [], :pem_sealed::bytea [])
    AS n (account_id, key_id, version, pem_sealed)
ORDER BY n.account_id, n.key_id
ON CONFLICT (account_id, key_id) DO UPDATE
SET version = excluded.version, pem_sealed = excluded.pem_sealed, adopted_at = excluded.adopted_at
WHERE k.version < excluded.version;
