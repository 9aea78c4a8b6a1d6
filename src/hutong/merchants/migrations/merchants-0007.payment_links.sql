-- depends: merchants-0006.scopes

-- Addresses at which payers pay a merchant without an order: with a fixed amount, or with one that they enter.
CREATE TABLE merchants.payment_link (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL REFERENCES merchants.merchant,
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 127),
    currency char(3) NOT NULL,
    least_minor bigint NOT NULL CHECK (least_minor > 0),
    most_minor bigint NOT NULL CHECK (most_minor >= least_minor),
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

CREATE INDEX payment_link_merchant_idx ON merchants.payment_link (merchant_id);

GRANT SELECT ON merchants.payment_link TO hutong_app;

GRANT INSERT, UPDATE (disabled_at) ON merchants.payment_link TO hutong_console;
