-- depends: db-0001.role

-- Two houses built to one plan: `query` is read and kept up to date, `query_rebuild` is where its like is built anew.
-- They trade places by trading names, at once and whole.
DO $$
DECLARE
    path CONSTANT text := current_setting('search_path');
    home text;
BEGIN
    FOREACH home IN ARRAY ARRAY['query', 'query_rebuild'] LOOP
        EXECUTE format('CREATE SCHEMA %I', home);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO hutong_app', home);
        PERFORM set_config('search_path', home, true);

        -- How far each source has been read. Moved in the transaction that applies what was read, or not at all.
        CREATE TABLE watermark (
            source text PRIMARY KEY CHECK (length(source) BETWEEN 1 AND 200),
            no bigint NOT NULL CHECK (no >= 0),
            event_at timestamptz NOT NULL,
            moved_at timestamptz NOT NULL
        ) WITH (fillfactor = 50);

        -- One row for each payment that was told of. A payment that is open, or open again, shows nothing; its row only
        -- remembers the version, so that an older word that comes late is known to be older.
        CREATE TABLE bill (
            payment_id uuid PRIMARY KEY,
            version bigint NOT NULL CHECK (version > 0),
            merchant_id uuid NOT NULL,
            status text CHECK (status IN ('requires_capture', 'succeeded', 'closed')),
            merchant_order_no text,
            subject text,
            -- What is searched: the subject in one spelling, and every two neighboring characters of it, since
            -- PostgreSQL's own text search cannot tell Chinese words apart.
            words text,
            grams text[] COLLATE "C",
            amount_minor bigint,
            currency char(3),
            amount_captured_minor bigint,
            method text,
            channel text,
            customer_id text,
            created_at timestamptz,
            authorized_at timestamptz,
            succeeded_at timestamptz,
            closed_at timestamptz,
            amount_refunded_minor bigint NOT NULL DEFAULT 0,
            refunds jsonb NOT NULL DEFAULT '[]',
            CHECK (
                status IS NULL
                OR num_nulls(merchant_order_no, subject, words, grams, amount_minor, currency, created_at) = 0
            )
        ) WITH (fillfactor = 90);
        CREATE INDEX bill_merchant ON bill (merchant_id, created_at, payment_id) WHERE status IS NOT NULL;
        CREATE INDEX bill_time ON bill (created_at, payment_id) WHERE status IS NOT NULL;
        CREATE INDEX bill_customer ON bill (customer_id, created_at, payment_id)
        WHERE status IS NOT NULL AND customer_id IS NOT NULL;
        CREATE INDEX bill_order ON bill (merchant_order_no, merchant_id) WHERE status IS NOT NULL;
        CREATE INDEX bill_grams ON bill USING gin (grams) WHERE status IS NOT NULL;

        -- Refunds by themselves: one may be told of before its payment is. `document` is set once the money is back.
        CREATE TABLE refund (
            refund_id uuid PRIMARY KEY,
            version bigint NOT NULL CHECK (version > 0),
            payment_id uuid NOT NULL,
            amount_minor bigint NOT NULL,
            document jsonb
        );
        CREATE INDEX refund_payment ON refund (payment_id);

        -- What is newest of each customer; old bills show it too. The version is the order that brought it.
        CREATE TABLE profile (
            merchant_id uuid NOT NULL,
            customer_id text NOT NULL,
            name text,
            words text NOT NULL,
            grams text[] COLLATE "C" NOT NULL,
            avatar text,
            version_at timestamptz NOT NULL,
            version_id uuid NOT NULL,
            PRIMARY KEY (merchant_id, customer_id)
        );
        CREATE INDEX profile_grams ON profile USING gin (grams);

        GRANT SELECT, INSERT, UPDATE ON watermark, bill, refund, profile TO hutong_app;
    END LOOP;
    PERFORM set_config('search_path', path, true);
END
$$;
