-- columns: audit_entry
actor_id uuid, action text, object_kind text, object_id text, reason text, before jsonb, after jsonb, request_id text

-- name: insert_audit
-- The table itself assigns number and hash.
INSERT INTO operators.audit (at, {audit_entry})
SELECT :at::timestamptz, {a.audit_entry}
FROM unnest({audit_entry[]}) WITH ORDINALITY AS a ({audit_entry}, place)
ORDER BY a.place;

-- name: list_audit
-- The whole journal, or the rows about one object, newest first.
SELECT seq, at, {audit_entry}
FROM operators.audit
WHERE (:before_seq::bigint IS NULL OR seq < :before_seq)
    AND (:object_kind::text IS NULL OR (object_kind = :object_kind AND object_id = :object_id))
ORDER BY seq DESC
LIMIT :limit;

-- name: verify_audit
-- The first row that was altered, the number of rows, and whether the last row is the one that the head names.
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
