-- depends: db-0001.role

CREATE SCHEMA merchants;

CREATE TABLE merchants.merchant (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    fee_ppm integer NOT NULL DEFAULT 0 CHECK (fee_ppm BETWEEN 0 AND 200000),
    return_origins text [] NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT TRUE,
    created_at timestamptz NOT NULL
);

CREATE TABLE merchants.api_key (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL REFERENCES merchants.merchant,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE INDEX api_key_merchant_idx ON merchants.api_key (merchant_id);

GRANT USAGE ON SCHEMA merchants TO hutong_app;

GRANT SELECT, INSERT ON merchants.merchant, merchants.api_key TO hutong_app;

GRANT UPDATE (revoked_at) ON merchants.api_key TO hutong_app;
