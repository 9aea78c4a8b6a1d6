-- depends: payments-0021.refund_lives

-- What channels have taken of a payment for disputes, held or lost: of the captured sum, and its parts of the other sums.
ALTER TABLE payments.payment
ADD COLUMN amount_disputed_minor bigint NOT NULL DEFAULT 0 CHECK (amount_disputed_minor >= 0),
ADD COLUMN disputed_paid_minor bigint NOT NULL DEFAULT 0 CHECK (disputed_paid_minor >= 0),
ADD COLUMN disputed_settled_minor bigint NOT NULL DEFAULT 0 CHECK (disputed_settled_minor >= 0);
GRANT UPDATE (amount_disputed_minor, disputed_paid_minor, disputed_settled_minor) ON payments.payment TO hutong_app;

-- A payer's claim against a payment, as its channel states it, or as operators enter it.
CREATE TABLE payments.dispute (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments.payment,
    attempt_id uuid NOT NULL REFERENCES payments.attempt,
    merchant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    channel text NOT NULL,
    dispute_no text NOT NULL CHECK (length(dispute_no) BETWEEN 1 AND 128),
    currency char(3) NOT NULL,
    created_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('needs_response', 'under_review', 'won', 'lost', 'accepted')),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    -- What the channel has taken and charged by now, and how much of both the merchant has given.
    taken_minor bigint NOT NULL CHECK (taken_minor >= 0),
    fee_minor bigint NOT NULL CHECK (fee_minor >= 0),
    held_minor bigint NOT NULL CHECK (held_minor BETWEEN 0 AND taken_minor + fee_minor),
    reason text CHECK (length(reason) <= 64),
    payer_statement text CHECK (length(payer_statement) <= 1000),
    due_at timestamptz,
    opened_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    finished_at timestamptz,
    source text NOT NULL,
    next_query_at timestamptz,
    -- How many of the reminders about `due_at` have been sent.
    reminders smallint NOT NULL DEFAULT 0,
    UNIQUE (account_id, dispute_no),
    CHECK ((state IN ('won', 'lost', 'accepted')) = (finished_at IS NOT NULL)),
    CHECK (finished_at IS NULL OR next_query_at IS NULL)
) WITH (fillfactor = 70);
CREATE INDEX dispute_payment_idx ON payments.dispute (payment_id);
CREATE INDEX dispute_merchant_idx ON payments.dispute (merchant_id, created_at, id);
CREATE INDEX dispute_query_idx ON payments.dispute (next_query_at) WHERE next_query_at IS NOT NULL;
CREATE INDEX dispute_open_idx ON payments.dispute (due_at) WHERE state IN ('needs_response', 'under_review');
CREATE INDEX dispute_due_idx ON payments.dispute (due_at) WHERE state = 'needs_response' AND reminders < 3;
CREATE INDEX dispute_uncovered_idx ON payments.dispute (id) WHERE held_minor < taken_minor + fee_minor;
GRANT SELECT, INSERT ON payments.dispute TO hutong_app;
GRANT UPDATE (
    state, amount_minor, taken_minor, fee_minor, held_minor, reason, payer_statement, due_at, opened_at, changed_at, finished_at,
    source, next_query_at, reminders
) ON payments.dispute TO hutong_app;

-- What merchants answer, written before it is sent; the evidence is sealed, and deleted once the channel has decided.
CREATE TABLE payments.dispute_response (
    id uuid PRIMARY KEY,
    dispute_id uuid NOT NULL REFERENCES payments.dispute,
    accepts boolean NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    evidence_sealed bytea,
    state text NOT NULL CHECK (state IN ('sending', 'taken', 'refused')),
    channel_code text CHECK (length(channel_code) <= 64),
    channel_message text CHECK (length(channel_message) <= 256),
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((state = 'sending') = (finished_at IS NULL)),
    CHECK ((state = 'sending') = (evidence_sealed IS NOT NULL))
);
CREATE INDEX dispute_response_idx ON payments.dispute_response (dispute_id, created_at);
-- One at a time: the next one is written when the channel has decided about the last.
CREATE UNIQUE INDEX dispute_response_open_idx ON payments.dispute_response (dispute_id) WHERE state = 'sending';
GRANT SELECT, INSERT ON payments.dispute_response TO hutong_app;
GRANT UPDATE (evidence_sealed, state, channel_code, channel_message, finished_at)
ON payments.dispute_response TO hutong_app;

-- A dispute about an order that is none of ours is kept like every other unknown number.
ALTER TABLE payments.exception
DROP CONSTRAINT exception_about_check,
ADD CONSTRAINT exception_about_check CHECK (about IN ('payment', 'refund', 'payout', 'dispute', 'nothing'));
