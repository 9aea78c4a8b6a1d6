-- depends: db-0001.role

CREATE SCHEMA idempotency;

CREATE TABLE idempotency.key (
    owner_id uuid NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    claimed_at timestamptz NOT NULL,
    forget_at timestamptz NOT NULL,
    status integer,
    body bytea,
    PRIMARY KEY (owner_id, key),
    CHECK ((status IS NULL) = (body IS NULL))
) WITH (fillfactor = 70);

CREATE INDEX key_forget_idx ON idempotency.key (forget_at);

GRANT USAGE ON SCHEMA idempotency TO hutong_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency.key TO hutong_app;
