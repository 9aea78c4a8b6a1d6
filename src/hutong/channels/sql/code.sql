-- columns: code
channel text, interface text, code text, sub_code text, version bigint, unified_code text, state text,
retryable boolean, action text, text_en text, text_zh text

-- columns: code_version
{code}, changed_at, proposal_id

-- columns: unmapped_code
channel text, interface text, code text, sub_code text, first_seen_at timestamptz, last_seen_at timestamptz,
count bigint, message text

-- name: code_versions
-- The cheap query that shows which maps have changed, and from which file each was last loaded.
SELECT channel, version, shipped_digest
FROM channels.code_map
ORDER BY channel;

-- name: start_code_maps
-- New maps; of two processes that start at once only one inserts them.
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
-- A higher version makes every process read the map again.
UPDATE channels.code_map AS m
SET version = u.version, shipped_digest = u.digest
FROM unnest($1::text [], $2::bigint [], $3::bytea []) AS u (channel, version, digest)
WHERE m.channel = u.channel;

-- name: current_codes
-- The current maps.
SELECT {code_version}
FROM channels.current_code
WHERE channel = ANY ($1::text [])
ORDER BY channel, interface, code, sub_code;

-- name: insert_codes
-- New versions of entries.
INSERT INTO channels.code ({code_version})
SELECT {c.code}, :changed_at::timestamptz, :proposal_id::uuid
FROM unnest({code[]}) AS c ({code});

-- name: code_history
-- Every version of one entry, newest first, with the proposal that holds its author, its approver and the reason.
SELECT {code_version}
FROM channels.code
WHERE channel = $1 AND interface = $2 AND code = $3 AND sub_code = $4
ORDER BY version DESC;

-- name: record_unmapped
-- The codes that a process has seen since its last write, in key order, so that processes never deadlock.
INSERT INTO channels.unmapped_code AS u ({unmapped_code})
SELECT {s.unmapped_code}
FROM unnest({unmapped_code[]}) AS s ({unmapped_code})
ORDER BY s.channel, s.interface, s.code, s.sub_code
ON CONFLICT (channel, interface, code, sub_code) DO UPDATE
SET first_seen_at = least(u.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(u.last_seen_at, excluded.last_seen_at),
    count = u.count + excluded.count, message = excluded.message;

-- name: open_unmapped
-- Codes that still have no meaning, by the rules of the lookup; mapping a code takes it off this list.
SELECT {u.unmapped_code}
FROM channels.unmapped_code AS u
WHERE NOT EXISTS (
        SELECT FROM channels.code AS c
        WHERE c.channel = u.channel AND c.interface IN (u.interface, '*') AND c.code = u.code
            AND c.sub_code IN (u.sub_code, '')
    )
ORDER BY u.last_seen_at DESC
LIMIT $1;
