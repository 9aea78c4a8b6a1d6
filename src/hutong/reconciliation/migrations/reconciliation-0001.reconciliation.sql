-- depends: operators-0003.worker payments-0025.unionpay_code

CREATE SCHEMA reconciliation;
GRANT USAGE ON SCHEMA reconciliation TO hutong_app;

-- The bank accounts whose statements come in.
CREATE TABLE reconciliation.bank_account (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    number text NOT NULL UNIQUE,
    currency text NOT NULL,
    created_at timestamptz NOT NULL
);
GRANT SELECT ON reconciliation.bank_account TO hutong_app;
GRANT INSERT ON reconciliation.bank_account TO hutong_api;

-- What has been booked as arrived at a bank account, by settlement batch.
CREATE TABLE reconciliation.bank_arrival (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES reconciliation.bank_account,
    batch text NOT NULL,
    currency text NOT NULL,
    channel_account_id uuid NOT NULL,
    amount_minor bigint NOT NULL DEFAULT 0,
    postings integer NOT NULL DEFAULT 0,
    -- The day of the statement that has stated it last.
    last_day date NOT NULL,
    UNIQUE (account_id, batch, currency, channel_account_id)
);
GRANT SELECT, INSERT ON reconciliation.bank_arrival TO hutong_app;
GRANT UPDATE (amount_minor, postings, last_day) ON reconciliation.bank_arrival TO hutong_app;

-- Every file that came in, once by its content.
CREATE TABLE reconciliation.file (
    id uuid PRIMARY KEY,
    source text NOT NULL CHECK (source IN ('bill', 'bank')),
    account_id uuid NOT NULL,
    layout text NOT NULL,
    day date NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL CHECK (length(sha256) = 64),
    size bigint NOT NULL CHECK (size >= 0),
    is_whole boolean NOT NULL DEFAULT false,
    state text NOT NULL CHECK (state IN ('received', 'parsed', 'matched', 'closed', 'refused', 'replaced')),
    received_at timestamptz NOT NULL,
    rows bigint,
    exceptions bigint,
    totals text NOT NULL DEFAULT '{}',
    reason text,
    replaced_by uuid REFERENCES reconciliation.file,
    UNIQUE (account_id, layout, sha256),
    CHECK ((state = 'replaced') = (replaced_by IS NOT NULL))
);
CREATE INDEX file_day ON reconciliation.file (account_id, day);
GRANT SELECT, INSERT ON reconciliation.file TO hutong_app;
GRANT UPDATE (state, rows, exceptions, totals, reason, replaced_by, day) ON reconciliation.file TO hutong_app;

-- The fetches of bills that are due, with their retries.
CREATE TABLE reconciliation.fetch (
    account_id uuid NOT NULL REFERENCES channels.account,
    kind text NOT NULL,
    day date NOT NULL,
    fetches integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    error text,
    done_at timestamptz,
    PRIMARY KEY (account_id, kind, day)
);
GRANT SELECT, INSERT ON reconciliation.fetch TO hutong_app;
GRANT UPDATE (fetches, next_at, error, done_at) ON reconciliation.fetch TO hutong_app;

-- Days that are to be reconciled, with those that follow them: one request of an account's day at a time.
CREATE TABLE reconciliation.run_request (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    day date NOT NULL,
    requested_at timestamptz NOT NULL,
    requested_by text NOT NULL,
    next_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    stage text,
    error text,
    done_at timestamptz
);
CREATE UNIQUE INDEX run_request_open ON reconciliation.run_request (account_id, day) WHERE done_at IS NULL;
GRANT SELECT, INSERT ON reconciliation.run_request TO hutong_app;
GRANT UPDATE (requested_at, next_at, failures, stage, error, done_at) ON reconciliation.run_request TO hutong_app;

-- The last reconciliation of each account and day.
CREATE TABLE reconciliation.run (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    day date NOT NULL,
    inputs text NOT NULL,
    engine text NOT NULL,
    totals text NOT NULL,
    explained_ppm bigint,
    finished_at timestamptz NOT NULL,
    -- The digest of what its last event has stated.
    announced text NOT NULL DEFAULT '',
    UNIQUE (account_id, day)
);
GRANT SELECT, INSERT ON reconciliation.run TO hutong_app;
GRANT UPDATE (inputs, engine, totals, explained_ppm, finished_at, announced) ON reconciliation.run TO hutong_app;

-- The rows of each merchant at an account on a day, as the last event has announced them.
CREATE TABLE reconciliation.merchant_statement (
    account_id uuid NOT NULL,
    day date NOT NULL,
    merchant_id uuid NOT NULL,
    channel text NOT NULL,
    reconciled bigint NOT NULL,
    pending bigint NOT NULL,
    different bigint NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (account_id, day, merchant_id)
);
CREATE INDEX merchant_statement_day ON reconciliation.merchant_statement (merchant_id, day);
GRANT SELECT, INSERT ON reconciliation.merchant_statement TO hutong_app;
GRANT UPDATE (reconciled, pending, different, content) ON reconciliation.merchant_statement TO hutong_app;

-- Differences, each once by its identity, for good.
CREATE TABLE reconciliation.difference (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    layer text NOT NULL,
    side text NOT NULL CHECK (side IN ('ours', 'theirs', 'both')),
    key text NOT NULL,
    class text NOT NULL CHECK (
        class IN ('pending', 'missing', 'unexpected', 'mismatch', 'duplicate', 'double_posting', 'ambiguous')
    ),
    column_name text NOT NULL,
    state text NOT NULL CHECK (state IN ('rolled', 'open', 'assigned', 'proposed', 'approved', 'resolved')),
    content text NOT NULL,
    currency text NOT NULL,
    amount_minor bigint NOT NULL,
    suspense_minor bigint NOT NULL DEFAULT 0,
    cost_minor bigint NOT NULL DEFAULT 0,
    postings integer NOT NULL DEFAULT 0,
    ours text,
    theirs text,
    reference text NOT NULL DEFAULT '',
    first_day date NOT NULL,
    last_day date NOT NULL,
    opened_at timestamptz NOT NULL,
    owner_id uuid,
    action text,
    proposal_id uuid,
    voucher uuid,
    resolved_at timestamptz,
    reason text,
    reopened integer NOT NULL DEFAULT 0,
    partner_id uuid REFERENCES reconciliation.difference,
    UNIQUE (account_id, layer, side, key, class, column_name),
    CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CHECK (state <> 'resolved' OR suspense_minor = 0)
);
CREATE INDEX difference_open ON reconciliation.difference (account_id, id) WHERE state <> 'resolved';
CREATE INDEX difference_day ON reconciliation.difference (last_day, account_id);
CREATE INDEX difference_reference ON reconciliation.difference (reference) WHERE reference <> '';
GRANT SELECT, INSERT ON reconciliation.difference TO hutong_app;
CREATE INDEX difference_proposal ON reconciliation.difference (proposal_id) WHERE state = 'proposed';
GRANT UPDATE (state, content, currency, amount_minor, suspense_minor, cost_minor, postings, ours, theirs, reference,
    last_day, owner_id, action, proposal_id, voucher, resolved_at, reason, reopened, partner_id) ON reconciliation.difference TO hutong_app;

-- The one meaning of a filter: lists, counters, previews and exports all select from it. Without states, what is not
-- resolved.
CREATE FUNCTION reconciliation.select_differences(
    of_account uuid, of_layer text, of_class text, of_states text[], of_owner uuid, is_unowned boolean, of_currency text,
    at_least bigint, at_most bigint, first_until date, of_last_day date, of_key text
) RETURNS SETOF reconciliation.difference LANGUAGE sql STABLE AS $$
    SELECT d.* FROM reconciliation.difference AS d
    WHERE (of_account IS NULL OR d.account_id = of_account)
        AND (of_layer IS NULL OR d.layer = of_layer)
        AND (of_class IS NULL OR d.class = of_class)
        AND CASE WHEN of_states IS NULL THEN d.state <> 'resolved' ELSE d.state = ANY (of_states) END
        AND (of_owner IS NULL OR d.owner_id = of_owner)
        AND (NOT is_unowned OR d.owner_id IS NULL)
        AND (of_currency IS NULL OR d.currency = of_currency)
        AND (at_least IS NULL OR abs(d.amount_minor) >= at_least)
        AND (at_most IS NULL OR abs(d.amount_minor) <= at_most)
        AND (first_until IS NULL OR d.first_day <= first_until)
        AND (of_last_day IS NULL OR d.last_day = of_last_day)
        AND (of_key IS NULL OR d.key = of_key OR d.reference = of_key)
$$;
REVOKE ALL ON FUNCTION reconciliation.select_differences FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reconciliation.select_differences TO hutong_app;

-- What happened to each difference, in order, for good.
CREATE TABLE reconciliation.difference_entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    difference_id uuid NOT NULL REFERENCES reconciliation.difference,
    at timestamptz NOT NULL,
    what text NOT NULL,
    by text NOT NULL,
    reason text,
    amount_minor bigint,
    voucher uuid
);
CREATE INDEX difference_entry_of ON reconciliation.difference_entry (difference_id, id);
GRANT SELECT, INSERT ON reconciliation.difference_entry TO hutong_app;

-- What has been booked for the matched rows of each account's day, so that another run books the change alone.
CREATE TABLE reconciliation.matched_total (
    account_id uuid NOT NULL,
    day date NOT NULL,
    layer text NOT NULL,
    merchant text NOT NULL,
    kind text NOT NULL,
    currency text NOT NULL,
    pairs bigint NOT NULL,
    settled_minor bigint NOT NULL,
    fee_minor bigint NOT NULL,
    PRIMARY KEY (account_id, day, layer, merchant, kind, currency)
);
GRANT SELECT, INSERT, DELETE ON reconciliation.matched_total TO hutong_app;
GRANT UPDATE (pairs, settled_minor, fee_minor) ON reconciliation.matched_total TO hutong_app;
