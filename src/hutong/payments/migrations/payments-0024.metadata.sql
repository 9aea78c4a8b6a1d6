-- depends: payments-0023.cancel_url

-- What the merchant has made of a payment's metadata since the order, whose own are compared when it is repeated.
ALTER TABLE payments.payment ADD COLUMN changed_metadata text;
GRANT UPDATE (changed_metadata) ON payments.payment TO hutong_app;

-- The current metadata of payments, by which lists find them: the newest payments with a value are one range of the key.
CREATE TABLE payments.metadata_entry (
    merchant_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 40),
    value text COLLATE "C" NOT NULL CHECK (length(value) <= 500),
    payment_id uuid NOT NULL,
    PRIMARY KEY (merchant_id, name, value, payment_id)
);
GRANT SELECT, INSERT, DELETE ON payments.metadata_entry TO hutong_app;

INSERT INTO payments.metadata_entry (merchant_id, name, value, payment_id)
SELECT p.merchant_id, e.key, e.value, p.id
FROM payments.payment AS p, json_each_text(p.metadata::json) AS e
WHERE p.metadata <> '{}';

CREATE INDEX refund_merchant_idx ON payments.refund (merchant_id, created_at, id);
