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

-- name: steady_snapshot
-- Whatever is written meanwhile, this transaction sees one state, and writes nothing.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: compare_with_journal
-- Objects that differ from the journal. The journal states an object where it is added, or recorded later. Of an operator
-- who was added before there were duties it states none, and so none are what there is.
WITH registered AS (
    SELECT r.object_id, r.properties, r.ended
    FROM unnest(:object_id::text [], :properties::jsonb [], :ended::boolean []) AS r (object_id, properties, ended)
),
journal AS (
    SELECT a.object_id, a.action, '{"duties": ""}'::jsonb || a.after AS after
    FROM operators.audit AS a WHERE a.object_kind = :object_kind
)
SELECT r.object_id, CASE
    WHEN NOT EXISTS (
        SELECT FROM journal AS j
        WHERE j.object_id = r.object_id AND j.after @> r.properties
            AND j.action IN (:object_kind::text || '.add', :object_kind::text || '.record')
    ) THEN 'unrecorded'
    WHEN r.ended THEN 'ended'
    ELSE 'revived'
END AS departure
FROM registered AS r
WHERE r.ended IS DISTINCT FROM EXISTS (SELECT FROM journal AS j WHERE j.object_id = r.object_id AND j.action = :ended_by)
    OR NOT EXISTS (
        SELECT FROM journal AS j
        WHERE j.object_id = r.object_id AND j.after @> r.properties
            AND j.action IN (:object_kind::text || '.add', :object_kind::text || '.record')
    )
UNION ALL
SELECT j.object_id, 'removed'
FROM journal AS j
WHERE j.action = :object_kind::text || '.add'
    AND NOT EXISTS (SELECT FROM registered AS r WHERE r.object_id = j.object_id)
ORDER BY object_id, departure;

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
