-- depends: search-0001.bills
-- A bill is a channel's file. What is searched here is a payment record, in a schema named after its package; the schema
-- that a rebuild fills is its shadow.
ALTER SCHEMA query RENAME TO search;

ALTER SCHEMA query_rebuild RENAME TO search_shadow;

DO $$
DECLARE
    home text;
    part record;
BEGIN
    FOREACH home IN ARRAY ARRAY['search', 'search_shadow'] LOOP
        EXECUTE format('ALTER TABLE %I.bill RENAME TO payment_record', home);
        EXECUTE format('ALTER TABLE %I.payment_record RENAME COLUMN words TO folded', home);
        EXECUTE format('ALTER TABLE %I.profile RENAME COLUMN words TO folded', home);
        FOR part IN
            SELECT c.conname AS name FROM pg_constraint AS c
            WHERE c.conrelid = to_regclass(home || '.payment_record') AND c.conname LIKE 'bill\_%'
        LOOP
            EXECUTE format(
                'ALTER TABLE %I.payment_record RENAME CONSTRAINT %I TO %I', home, part.name,
                regexp_replace(part.name, '^bill', 'payment_record')
            );
        END LOOP;
        FOR part IN
            SELECT c.relname AS name
            FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
            WHERE i.indrelid = to_regclass(home || '.payment_record') AND c.relname LIKE 'bill\_%'
        LOOP
            EXECUTE format(
                'ALTER INDEX %I.%I RENAME TO %I', home, part.name, regexp_replace(part.name, '^bill', 'payment_record')
            );
        END LOOP;
    END LOOP;
END
$$;
