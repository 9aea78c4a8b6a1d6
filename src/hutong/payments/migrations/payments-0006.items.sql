-- depends: payments-0005.codes

-- What was bought, with each party's part of its price: computed once, when the order was placed.
CREATE TABLE payments.item (
    payment_id uuid NOT NULL REFERENCES payments.payment,
    position smallint NOT NULL,
    item_id text NOT NULL CHECK (length(item_id) BETWEEN 1 AND 64),
    name text NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    payer_minor bigint NOT NULL CHECK (payer_minor >= 0),
    merchant_minor bigint NOT NULL CHECK (merchant_minor >= 0),
    platform_minor bigint NOT NULL CHECK (platform_minor >= 0),
    channel_minor bigint NOT NULL CHECK (channel_minor >= 0),
    PRIMARY KEY (payment_id, position),
    UNIQUE (payment_id, item_id),
    CHECK (payer_minor + merchant_minor + platform_minor + channel_minor = amount_minor)
);

CREATE TABLE payments.discount (
    payment_id uuid NOT NULL REFERENCES payments.payment,
    position smallint NOT NULL,
    name text NOT NULL,
    funder text NOT NULL CHECK (funder IN ('merchant', 'platform', 'channel')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    item_id text,
    PRIMARY KEY (payment_id, position)
);

GRANT SELECT, INSERT ON payments.item, payments.discount TO hutong_app;

-- Which items a refund gives back, how many, and each party's part of them. A single unit's part may round to nothing.
ALTER TABLE payments.refund
ADD COLUMN lines text NOT NULL DEFAULT '[]',
DROP CONSTRAINT refund_amount_minor_check,
ADD CONSTRAINT refund_amount_minor_check CHECK (amount_minor > 0 OR (amount_minor = 0 AND lines <> '[]'));
