-- name: insert_audit
-- Number and hash are given by the table itself.
INSERT INTO operators.audit (at, actor_id, action, object_kind, object_id, reason, before, after, request_id)
SELECT $1::timestamptz, a.actor_id, a.action, a.object_kind, a.object_id, a.reason, a.before, a.after, a.request_id
FROM unnest($2::uuid [], $3::text [], $4::text [], $5::text [], $6::text [], $7::jsonb [], $8::jsonb [], $9::text [])
    WITH ORDINALITY
    AS a (actor_id, action, object_kind, object_id, reason, before, after, request_id, place)
ORDER BY a.place;

-- name: list_audit
-- Newest first, of everything or of one object.
SELECT seq, at, actor_id, action, object_kind, object_id, reason, before, after, request_id
FROM operators.audit
WHERE ($1::bigint IS NULL OR seq < $1)
    AND ($2::text IS NULL OR (object_kind = $2 AND object_id = $3))
ORDER BY seq DESC
LIMIT $4;

-- name: verify_audit
-- The first row that is not as it was written, the rows there are, and whether the last is the one the head names.
WITH linked AS (
    SELECT a.seq, a.hash, lag(a.seq, 1, 0::bigint) OVER w AS seq_before,
        operators.audit_hash(lag(a.hash, 1, decode(repeat('00', 32), 'hex')) OVER w, a) AS hash_now
    FROM operators.audit AS a
    WINDOW w AS (ORDER BY a.seq)
)
SELECT count(l.seq) AS rows,
    min(l.seq) FILTER (WHERE l.seq <> l.seq_before + 1) AS gap_before,
    min(l.seq) FILTER (WHERE l.hash <> l.hash_now) AS altered,
    h.seq AS head_seq, h.hash AS head_hash,
    coalesce(bool_or(l.seq = h.seq AND l.hash = h.hash), h.seq = 0) AS ends_at_head
FROM operators.audit_head AS h
LEFT JOIN linked AS l ON TRUE
GROUP BY h.seq, h.hash;
