-- depends: operators-0001.operators
-- How payments are routed: what operators want, and what processes tell each other of their channels.

CREATE SCHEMA routing;
GRANT USAGE ON SCHEMA routing TO hutong_app;

-- Every configuration that was ever published; the newest is in force.
CREATE TABLE routing.configuration (
    version bigint PRIMARY KEY CHECK (version > 0),
    document text NOT NULL,
    published_at timestamptz NOT NULL,
    proposal_id uuid UNIQUE REFERENCES operators.proposal
);

-- What an operator wants whatever the score: pin a product to an account, or keep an account out.
CREATE TABLE routing.override (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('pin', 'block')),
    product text NOT NULL, -- empty is every product
    account text NOT NULL,
    until timestamptz, -- NULL only for a block: until it is lifted
    reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
    operator_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    lifted_at timestamptz,
    CHECK (kind = 'block' OR until IS NOT NULL),
    CHECK (until > created_at)
);

CREATE INDEX override_standing_idx ON routing.override (created_at) WHERE lifted_at IS NULL;

-- One pin a product at a time.
CREATE UNIQUE INDEX override_pin_idx ON routing.override (product) WHERE kind = 'pin' AND lifted_at IS NULL;

-- What attempts told, for other processes to learn. A row is found by the transaction that wrote it: a sequence or a
-- time would pass over those that commit late.
CREATE TABLE routing.result (
    written_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    told_by uuid NOT NULL,
    attempt_id uuid NOT NULL,
    account_id uuid NOT NULL,
    interface text NOT NULL,
    institution text NOT NULL,
    fault boolean NOT NULL,
    latency_ms integer NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (written_in, told_by, attempt_id)
);

-- What has gone through an account in a month, for tiers, limits and quotas.
CREATE TABLE routing.volume (
    account_id uuid NOT NULL,
    month date NOT NULL,
    amount_minor bigint NOT NULL,
    subsidy_minor bigint NOT NULL,
    PRIMARY KEY (account_id, month)
) WITH (fillfactor = 70);

-- What accounts were able to do when decisions were made, so that these can be made again: by its hash, once.
CREATE TABLE routing.basis (
    digest text PRIMARY KEY,
    document text NOT NULL,
    first_used_at timestamptz NOT NULL
);

GRANT SELECT, INSERT ON routing.configuration, routing.override, routing.basis TO hutong_app;
GRANT SELECT, INSERT, DELETE ON routing.result TO hutong_app;
GRANT SELECT, INSERT ON routing.volume TO hutong_app;
GRANT UPDATE (amount_minor, subsidy_minor) ON routing.volume TO hutong_app;
GRANT UPDATE (lifted_at) ON routing.override TO hutong_app;
