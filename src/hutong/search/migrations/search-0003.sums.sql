-- depends: search-0002.payment_records
-- What the payer paid and what settles; of payments from before, both are the captured sum.
DO $$
DECLARE
    home text;
BEGIN
    FOREACH home IN ARRAY ARRAY['search', 'search_shadow'] LOOP
        EXECUTE format(
            'ALTER TABLE %I.payment_record ADD COLUMN amount_paid_minor bigint, ADD COLUMN amount_settled_minor bigint',
            home
        );
        EXECUTE format(
            'UPDATE %I.payment_record SET amount_paid_minor = amount_captured_minor, '
            'amount_settled_minor = amount_captured_minor WHERE amount_captured_minor IS NOT NULL', home
        );
    END LOOP;
END
$$;
