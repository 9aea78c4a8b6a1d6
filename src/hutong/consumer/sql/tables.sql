-- name: install
-- The tables of all consumers in one database. A repetition changes nothing, so that a consumer may run it at each start.
-- The lock keeps two that start at once from creating the same table.
SELECT pg_advisory_xact_lock(x'4875746F6E67636F'::bigint);

CREATE SCHEMA IF NOT EXISTS consumer;

-- The progress of each consumer in each stream. `last_no` is the highest number known to exist, `seen_no` the highest up to
-- which nothing is missing any longer, `tidied_no` the highest up to which handled messages have been deleted.
CREATE TABLE IF NOT EXISTS consumer.stream (
    consumer text NOT NULL,
    stream text NOT NULL,
    first_no bigint NOT NULL CHECK (first_no > 0),
    last_no bigint NOT NULL,
    seen_no bigint NOT NULL,
    tidied_no bigint NOT NULL,
    PRIMARY KEY (consumer, stream),
    CHECK (tidied_no <= seen_no AND seen_no <= last_no)
) WITH (fillfactor = 50);

-- Every message once. Its hash stays after it was handled, its body does not.
CREATE TABLE IF NOT EXISTS consumer.inbox (
    consumer text NOT NULL,
    stream text NOT NULL,
    no bigint NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    object_id text NOT NULL,
    object_seq bigint NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'ready', 'parked', 'done', 'dropped')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz CHECK ((state = 'ready') = (next_at IS NOT NULL)),
    corrects boolean NOT NULL DEFAULT false,
    reason text,
    hash bytea NOT NULL,
    body bytea CHECK (body IS NOT NULL OR state IN ('done', 'dropped')),
    received_at timestamptz NOT NULL,
    ended_at timestamptz CHECK ((ended_at IS NOT NULL) = (state IN ('done', 'dropped'))),
    PRIMARY KEY (consumer, stream, no)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX IF NOT EXISTS inbox_object ON consumer.inbox (object_id, object_seq);
CREATE INDEX IF NOT EXISTS inbox_open ON consumer.inbox (object_id, object_seq, no)
    WHERE state IN ('waiting', 'ready', 'parked');
CREATE INDEX IF NOT EXISTS inbox_fresh ON consumer.inbox (consumer, next_at, stream, no)
    WHERE state = 'ready' AND attempts = 0;
CREATE INDEX IF NOT EXISTS inbox_tried ON consumer.inbox (consumer, next_at) WHERE state = 'ready' AND attempts > 0;
CREATE INDEX IF NOT EXISTS inbox_parked ON consumer.inbox (consumer, stream, no) WHERE state = 'parked';

-- Numbers that exist and have not arrived.
CREATE TABLE IF NOT EXISTS consumer.gap (
    consumer text NOT NULL,
    stream text NOT NULL,
    from_no bigint NOT NULL,
    to_no bigint NOT NULL CHECK (to_no >= from_no),
    found_at timestamptz NOT NULL,
    asked integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    lost_at timestamptz,
    PRIMARY KEY (consumer, stream, from_no)
);

-- Reports of the source on ranges, as long as the received messages differ. Without a hash the source has to be asked.
CREATE TABLE IF NOT EXISTS consumer.digest (
    consumer text NOT NULL,
    stream text NOT NULL,
    from_no bigint NOT NULL,
    to_no bigint NOT NULL CHECK (to_no >= from_no),
    hash bytea,
    asked integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    PRIMARY KEY (consumer, stream, from_no, to_no)
);

-- Unreadable messages, which have no place in a stream.
CREATE TABLE IF NOT EXISTS consumer.reject (
    consumer text NOT NULL,
    hash bytea NOT NULL,
    body bytea NOT NULL,
    reason text NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    received_at timestamptz NOT NULL,
    dropped_at timestamptz,
    PRIMARY KEY (consumer, hash)
);
