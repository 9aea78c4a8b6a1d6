-- Everything about the schema of a database that migrations make, a line each. Left out are the partitions that the
-- worker makes as time goes by, what PostgreSQL makes by itself, and the names of NOT NULL constraints, which only newer
-- servers have.
WITH own AS (
    SELECT c.oid, c.relkind, c.relnamespace, n.nspname || '.' || c.relname AS name, c.relacl, c.reloptions, c.relowner
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND c.relname !~ '^_?yoyo'
        AND NOT (c.relispartition AND c.relname !~ '_default$')
), tables AS (
    SELECT * FROM own WHERE relkind IN ('r', 'p', 'v', 'm')
)
SELECT 'schema ' || n.nspname || ' ' || coalesce(acl.rights, '')
FROM pg_namespace n
LEFT JOIN LATERAL (
    SELECT string_agg(a.grantee::regrole || '=' || a.privilege_type, ',' ORDER BY a.grantee, a.privilege_type) AS rights
    FROM aclexplode(n.nspacl) a WHERE a.grantee <> n.nspowner AND a.grantee <> 0
) acl ON true
WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'public')
UNION ALL
SELECT 'relation ' || relkind::text || ' ' || name || ' ' || coalesce(array_to_string(reloptions, ','), '') || ' '
    || coalesce(pg_get_partkeydef(oid), '') || ' ' || coalesce(
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END, '')
FROM tables
UNION ALL
SELECT 'column ' || t.name || ' ' || row_number() OVER (PARTITION BY t.oid ORDER BY a.attnum) || ' ' || a.attname || ' '
    || format_type(a.atttypid, a.atttypmod) || ' ' || CASE WHEN a.attnotnull THEN 'NOT NULL ' ELSE '' END
    || a.attidentity::text || a.attgenerated::text || a.attstorage::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    || ' ' || coalesce(col_description(t.oid, a.attnum), '')
FROM tables t
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint ' || t.name || ' ' || c.conname || ' ' || pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN tables t ON t.oid = c.conrelid WHERE c.contype <> 'n'
UNION ALL
SELECT 'index ' || t.name || ' ' || pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN tables t ON t.oid = i.indrelid
UNION ALL
SELECT 'trigger ' || t.name || ' ' || pg_get_triggerdef(g.oid) || ' ' || g.tgenabled::text
FROM pg_trigger g JOIN tables t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal
UNION ALL
SELECT 'sequence ' || o.name || ' ' || s.seqtypid::regtype || ' ' || s.seqmin || ' ' || s.seqincrement
FROM pg_sequence s JOIN own o ON o.oid = s.seqrelid
UNION ALL
SELECT 'function ' || p.oid::regprocedure || ' ' || pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '')
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND p.prokind IN ('f', 'p')
UNION ALL
SELECT 'right ' || o.name || ' ' || a.grantee::regrole || ' ' || a.privilege_type
FROM own o, aclexplode(o.relacl) a WHERE a.grantee <> o.relowner AND a.grantee <> 0
UNION ALL
SELECT 'right ' || t.name || '.' || c.attname || ' ' || a.grantee::regrole || ' ' || a.privilege_type
FROM tables t JOIN pg_attribute c ON c.attrelid = t.oid, aclexplode(c.attacl) a
WHERE a.grantee <> t.relowner AND a.grantee <> 0
UNION ALL
SELECT 'publication ' || pubname FROM pg_publication
ORDER BY 1;
