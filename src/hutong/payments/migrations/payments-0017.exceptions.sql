-- depends: payments-0016.adopted

-- What channels report that does not fit our orders, each thing once: proven to be theirs, and to be decided by persons.
CREATE TABLE payments.exception (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    kind text NOT NULL CHECK (
        kind IN ('amount_mismatch', 'currency_mismatch', 'unknown_number', 'other_account', 'unreadable')
    ),
    about text NOT NULL CHECK (about IN ('payment', 'refund', 'payout', 'nothing')),
    number text NOT NULL CHECK (length(number) <= 128),
    payment_id uuid,
    attempt_id uuid,
    refund_id uuid,
    source text NOT NULL,
    state text NOT NULL,
    amount_minor bigint,
    currency text,
    expected_minor bigint,
    expected_currency text,
    channel_order_no text,
    happened_at timestamptz,
    reason text NOT NULL,
    message bytea,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    seen bigint NOT NULL CHECK (seen > 0),
    status text NOT NULL CHECK (status IN ('open', 'taken', 'refunded', 'ignored', 'matched')),
    decided_at timestamptz,
    decided_by text,
    decision_reason text,
    UNIQUE (account_id, digest),
    CHECK ((status = 'open') = (decided_at IS NULL)),
    CHECK ((attempt_id IS NULL AND refund_id IS NULL) = (payment_id IS NULL)),
    CHECK (kind NOT IN ('amount_mismatch', 'currency_mismatch') OR payment_id IS NOT NULL)
);
CREATE INDEX exception_open ON payments.exception (id) WHERE status = 'open';
CREATE INDEX exception_payment ON payments.exception (payment_id) WHERE payment_id IS NOT NULL;
GRANT SELECT, INSERT ON payments.exception TO hutong_app;
GRANT UPDATE (last_seen_at, seen, status, decided_at, decided_by, decision_reason) ON payments.exception TO hutong_app;
