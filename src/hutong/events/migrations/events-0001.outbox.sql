-- depends: db-0001.role

CREATE SCHEMA events;
GRANT USAGE ON SCHEMA events TO hutong_app;

-- The last number given to each object's events. An identity column has gaps; a counter under its row lock has none.
CREATE TABLE events.object (
    object_id uuid PRIMARY KEY,
    last_seq bigint NOT NULL CHECK (last_seq > 0)
) WITH (fillfactor = 80);
GRANT SELECT, INSERT, UPDATE ON events.object TO hutong_app;

-- The journal of what happened, written in the transaction that made it happen. It is partitioned by the id, whose
-- first 48 bits are milliseconds; the first partition takes everything until retention begins: then it is detached and
-- attached again for the ids it holds, without moving a row.
CREATE TABLE events.outbox (
    event_id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    object_id uuid NOT NULL,
    object_seq bigint NOT NULL CHECK (object_seq > 0),
    type text NOT NULL CHECK (length(type) BETWEEN 1 AND 100),
    -- json, not jsonb: the text that was written is the text that is signed and sent, each time.
    data json NOT NULL CHECK (json_typeof(data) = 'object'),
    created_at timestamptz NOT NULL,
    -- Lets a relay read up to the oldest transaction still running, so that it never skips one that commits late.
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()
) PARTITION BY RANGE (event_id);
CREATE TABLE events.outbox_first PARTITION OF events.outbox DEFAULT;
CREATE INDEX outbox_merchant ON events.outbox (merchant_id, event_id);
GRANT SELECT, INSERT ON events.outbox TO hutong_app;

-- Where merchants want to be told. Rows are never deleted, so deliveries refer to them without a foreign key, whose
-- check would lock the same endpoint row in every payment's transaction.
CREATE TABLE events.endpoint (
    endpoint_id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    url text NOT NULL CHECK (length(url) <= 2048),
    types text[] NOT NULL,
    sealed_secret bytea NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);
CREATE INDEX endpoint_merchant ON events.endpoint (merchant_id, endpoint_id);
GRANT SELECT, INSERT, UPDATE ON events.endpoint TO hutong_app;

-- One row for each event and each endpoint that wants it. What is pending lies in two small partial indexes: the first
-- finds what is due, the second what stands before it for the same object. Their conditions say the same thing in
-- different words, so that a statement uses the one it names, even while the planner knows nothing of the table.
CREATE TABLE events.delivery (
    event_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    object_id uuid NOT NULL,
    object_seq bigint NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_at timestamptz CHECK ((state = 'pending') = (next_at IS NOT NULL)),
    claimed_until timestamptz,
    last_at timestamptz,
    last_status integer,
    last_error text,
    last_duration_ms integer,
    PRIMARY KEY (event_id, endpoint_id)
) PARTITION BY RANGE (event_id);
-- A claim changes no indexed column; with room on the page it costs no index entry.
CREATE TABLE events.delivery_first PARTITION OF events.delivery DEFAULT
    WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX delivery_due ON events.delivery (endpoint_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX delivery_order ON events.delivery (endpoint_id, object_id, object_seq) WHERE state = 'pending';
GRANT SELECT, INSERT, UPDATE ON events.delivery TO hutong_app;
