-- depends: events-0001.outbox

-- The version of the form of `data`; a replay years later still says which one it is.
ALTER TABLE events.outbox ADD COLUMN version smallint NOT NULL DEFAULT 1 CHECK (version > 0);

-- How an endpoint's requests are signed, and both secrets while one is taking over from the other. An endpoint that
-- fails for days is disabled; a success forgets since when it has failed.
ALTER TABLE events.endpoint
    ADD COLUMN scheme text NOT NULL DEFAULT 'hmac' CHECK (scheme IN ('hmac', 'ed25519', 'rsa2')),
    ADD COLUMN public_key text CHECK ((scheme = 'hmac') = (public_key IS NULL)),
    ADD COLUMN sealed_previous bytea,
    ADD COLUMN previous_until timestamptz CHECK ((sealed_previous IS NULL) = (previous_until IS NULL)),
    ADD COLUMN failing_since timestamptz,
    ADD COLUMN disabled_reason text CHECK (disabled_reason IN ('merchant', 'failing'));

-- One row for each try, never changed. The request is made again from the journal when somebody looks at it; of an
-- answer only the beginning is kept, and only of one that was not a success.
CREATE TABLE events.delivery_try (
    try_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    state text NOT NULL CHECK (state IN ('delivered', 'failed', 'dead')),
    tried_at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status integer,
    error text,
    answer text CHECK (length(answer) <= 1024),
    PRIMARY KEY (endpoint_id, try_id)
) PARTITION BY RANGE (try_id);
CREATE TABLE events.delivery_try_first PARTITION OF events.delivery_try DEFAULT;
GRANT SELECT, INSERT ON events.delivery_try TO hutong_app;

-- What was given up, for whoever has it sent again.
CREATE INDEX delivery_dead ON events.delivery (endpoint_id, event_id) WHERE state = 'dead';
