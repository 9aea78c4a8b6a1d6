-- depends: channels-0001.accounts operators-0001.operators
-- What channels' codes mean. Every version of every entry is kept; the newest of each holds.

CREATE TABLE channels.code_map (
    channel text PRIMARY KEY CHECK (channel ~ '^[a-z][a-z0-9_]{0,31}$'),
    version bigint NOT NULL CHECK (version >= 0),
    shipped_digest bytea NOT NULL
);

CREATE TABLE channels.code (
    channel text NOT NULL REFERENCES channels.code_map,
    interface text NOT NULL CHECK (char_length(interface) BETWEEN 1 AND 64),
    code text NOT NULL CHECK (char_length(code) BETWEEN 1 AND 128),
    sub_code text NOT NULL CHECK (char_length(sub_code) <= 128),
    version bigint NOT NULL CHECK (version > 0),
    unified_code text NOT NULL CHECK (unified_code ~ '^[a-z][a-z0-9_]{0,63}$' AND unified_code <> 'unmapped'),
    state text NOT NULL
    CHECK (state IN ('pending', 'authorized', 'succeeded', 'failed', 'closed', 'unknown', 'not_found')),
    retryable boolean NOT NULL,
    action text NOT NULL CHECK (action ~ '^[a-z][a-z0-9_]{0,63}$'),
    text_en text NOT NULL CHECK (char_length(text_en) <= 500),
    text_zh text NOT NULL CHECK (char_length(text_zh) <= 500),
    changed_at timestamptz NOT NULL,
    proposal_id uuid REFERENCES operators.proposal, -- NULL came with the program
    PRIMARY KEY (channel, interface, code, sub_code, version)
);

CREATE VIEW channels.current_code AS
SELECT DISTINCT ON (channel, interface, code, sub_code)
    channel, interface, code, sub_code, version, unified_code, state, retryable, action, text_en, text_zh, changed_at,
    proposal_id
FROM channels.code
ORDER BY channel, interface, code, sub_code, version DESC;

-- Codes that no map held when they came.
CREATE TABLE channels.unmapped_code (
    channel text NOT NULL,
    interface text NOT NULL,
    code text NOT NULL,
    sub_code text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL CHECK (last_seen_at >= first_seen_at),
    count bigint NOT NULL CHECK (count > 0),
    message text NOT NULL,
    PRIMARY KEY (channel, interface, code, sub_code)
);

GRANT SELECT, INSERT ON channels.code_map, channels.code, channels.unmapped_code TO hutong_app;
GRANT SELECT ON channels.current_code TO hutong_app;
GRANT UPDATE (version, shipped_digest) ON channels.code_map TO hutong_app;
GRANT UPDATE (first_seen_at, last_seen_at, count, message) ON channels.unmapped_code TO hutong_app;
