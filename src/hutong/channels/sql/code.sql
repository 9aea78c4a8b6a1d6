-- name: code_versions
-- The cheap look that tells which maps have changed, and which file each was last loaded from.
SELECT channel, version, shipped_digest
FROM channels.code_map
ORDER BY channel;

-- name: start_code_maps
-- Maps that are new; of two processes that start at once one makes them.
INSERT INTO channels.code_map (channel, version, shipped_digest)
SELECT m.channel, 0, ''
FROM unnest($1::text []) AS m (channel)
ORDER BY m.channel
ON CONFLICT (channel) DO NOTHING;

-- name: lock_code_maps
-- One change at a time; locked in order.
SELECT channel, version, shipped_digest
FROM channels.code_map
WHERE channel = ANY ($1::text [])
ORDER BY channel
FOR UPDATE;

-- name: set_code_maps
-- The next version tells every process to read the map again.
UPDATE channels.code_map AS m
SET version = u.version, shipped_digest = u.digest
FROM unnest($1::text [], $2::bigint [], $3::bytea []) AS u (channel, version, digest)
WHERE m.channel = u.channel;

-- name: current_codes
-- The maps as they hold now.
SELECT channel, interface, code, sub_code, version, unified_code, state, retryable, action, text_en, text_zh, changed_at,
    proposal_id
FROM channels.current_code
WHERE channel = ANY ($1::text [])
ORDER BY channel, interface, code, sub_code;

-- name: insert_codes
-- New versions of entries.
INSERT INTO channels.code
    (channel, interface, code, sub_code, version, unified_code, state, retryable, action, text_en, text_zh, changed_at,
    proposal_id)
SELECT c.channel, c.interface, c.code, c.sub_code, c.version, c.unified_code, c.state, c.retryable, c.action, c.text_en,
    c.text_zh, $12::timestamptz, $13::uuid
FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::text [], $5::bigint [], $6::text [], $7::text [], $8::boolean [],
    $9::text [], $10::text [], $11::text []
) AS c (channel, interface, code, sub_code, version, unified_code, state, retryable, action, text_en, text_zh);

-- name: code_history
-- Every version of one entry, newest first, with the two who changed it and why.
SELECT c.channel, c.interface, c.code, c.sub_code, c.version, c.unified_code, c.state, c.retryable, c.action, c.text_en,
    c.text_zh, c.changed_at, c.proposal_id
FROM channels.code AS c
WHERE c.channel = $1 AND c.interface = $2 AND c.code = $3 AND c.sub_code = $4
ORDER BY c.version DESC;

-- name: record_unmapped
-- What this process has seen since it last wrote, in key order, so that processes never wait crosswise.
INSERT INTO channels.unmapped_code AS u
    (channel, interface, code, sub_code, first_seen_at, last_seen_at, count, message)
SELECT s.channel, s.interface, s.code, s.sub_code, s.first_seen_at, s.last_seen_at, s.count, s.message
FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::text [], $5::timestamptz [], $6::timestamptz [], $7::bigint [],
    $8::text []
) AS s (channel, interface, code, sub_code, first_seen_at, last_seen_at, count, message)
ORDER BY s.channel, s.interface, s.code, s.sub_code
ON CONFLICT (channel, interface, code, sub_code) DO UPDATE
SET first_seen_at = least(u.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(u.last_seen_at, excluded.last_seen_at),
    count = u.count + excluded.count, message = excluded.message;

-- name: open_unmapped
-- What came and has no meaning to this day, by the rules of the lookup; mapping it is what takes it off this list.
SELECT u.channel, u.interface, u.code, u.sub_code, u.first_seen_at, u.last_seen_at, u.count, u.message
FROM channels.unmapped_code AS u
WHERE NOT EXISTS (
        SELECT FROM channels.code AS c
        WHERE c.channel = u.channel AND c.interface IN (u.interface, '*') AND c.code = u.code
            AND c.sub_code IN (u.sub_code, '')
    )
ORDER BY u.last_seen_at DESC
LIMIT $1;
