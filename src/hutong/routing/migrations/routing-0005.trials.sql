-- depends: routing-0004.volume_by_currency
-- Drafts that are tried on a share of the payments before they are published.

CREATE TABLE routing.trial (
    id uuid PRIMARY KEY,
    document text NOT NULL,
    digest text NOT NULL, -- of the document, by which a draft that is to be published is known again
    version bigint NOT NULL, -- what it is tried against
    share double precision NOT NULL CHECK (share > 0 AND share <= 0.5),
    guardrail double precision NOT NULL CHECK (guardrail >= 0 AND guardrail <= 1),
    started_at timestamptz NOT NULL,
    proposal_id uuid NOT NULL UNIQUE REFERENCES operators.proposal,
    ended_at timestamptz,
    end_reason text CHECK (char_length(end_reason) BETWEEN 1 AND 500),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

-- One at a time: two would be tried on each other.
CREATE UNIQUE INDEX trial_running_idx ON routing.trial ((true)) WHERE ended_at IS NULL;
CREATE INDEX trial_digest_idx ON routing.trial (digest, started_at);

-- What came of the payments of each arm.
CREATE TABLE routing.trial_outcome (
    trial_id uuid NOT NULL REFERENCES routing.trial,
    arm text NOT NULL CHECK (arm IN ('draft', 'control')),
    currency char(3) NOT NULL,
    ended bigint NOT NULL,
    succeeded bigint NOT NULL,
    captured_minor bigint NOT NULL,
    cost_ten_thousandths bigint NOT NULL,
    PRIMARY KEY (trial_id, arm, currency)
) WITH (fillfactor = 70);

GRANT SELECT, INSERT ON routing.trial, routing.trial_outcome TO hutong_app;
GRANT UPDATE (ended_at, end_reason) ON routing.trial TO hutong_app;
GRANT UPDATE (ended, succeeded, captured_minor, cost_ten_thousandths) ON routing.trial_outcome TO hutong_app;
