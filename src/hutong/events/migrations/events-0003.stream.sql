-- depends: events-0002.webhooks

-- Each stream counts its events 1, 2, 3, … in the order in which they are told, so that whoever listens sees a loss. A
-- relay that tells a stream holds a lease; no transaction stays open while it does.
CREATE TABLE events.stream (
    stream text PRIMARY KEY CHECK (length(stream) BETWEEN 1 AND 200),
    last_no bigint NOT NULL CHECK (last_no > 0),
    published_no bigint NOT NULL DEFAULT 0 CHECK (published_no BETWEEN 0 AND last_no),
    digested_no bigint NOT NULL DEFAULT 0 CHECK (digested_no BETWEEN 0 AND published_no),
    digested_at timestamptz,
    lease_owner uuid,
    lease_until timestamptz CHECK ((lease_owner IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON events.stream TO hutong_app;

-- Which event has which number. Partitioned as the outbox is, so that both go together; a number is given once because
-- it is taken under the lock of the stream's row.
CREATE TABLE events.stream_entry (
    stream text NOT NULL,
    no bigint NOT NULL CHECK (no > 0),
    event_id uuid NOT NULL,
    PRIMARY KEY (stream, no, event_id),
    UNIQUE (event_id)
) PARTITION BY RANGE (event_id);
CREATE TABLE events.stream_entry_first PARTITION OF events.stream_entry DEFAULT;
GRANT SELECT, INSERT ON events.stream_entry TO hutong_app;

-- What has been numbered: everything that the snapshot saw. An event is new if its transaction was not complete then and
-- is now, in whatever order transactions commit. Transaction ids mean something in their own cluster only.
CREATE TABLE events.sequencer (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    snapshot pg_snapshot,
    cluster bigint
);
INSERT INTO events.sequencer DEFAULT VALUES;
GRANT SELECT, UPDATE ON events.sequencer TO hutong_app;

CREATE INDEX outbox_transaction ON events.outbox (transaction_id);
