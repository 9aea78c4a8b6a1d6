-- depends: db-0001.role
-- Accounts at channels. The credentials are sealed by the vault for their row; the version tells caches to reload.

CREATE SCHEMA channels;
GRANT USAGE ON SCHEMA channels TO hutong_app;

CREATE TABLE channels.account (
    id uuid PRIMARY KEY,
    channel text NOT NULL CHECK (channel ~ '^[a-z][a-z0-9_]{0,31}$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    enabled boolean NOT NULL,
    sandbox boolean NOT NULL,
    credentials_sealed bytea NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL CHECK (updated_at >= created_at),
    UNIQUE (channel, name)
);

GRANT SELECT, INSERT ON channels.account TO hutong_app;
GRANT UPDATE (enabled, credentials_sealed, version, updated_at) ON channels.account TO hutong_app;
