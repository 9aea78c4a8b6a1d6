-- depends: routing-0003.suggestions
-- The decision log: why each attempt goes through its account.

CREATE TABLE routing.decision (
    attempt_id uuid PRIMARY KEY,
    payment_id uuid NOT NULL,
    account_id uuid NOT NULL,
    decided_at timestamptz NOT NULL,
    record jsonb NOT NULL
);

-- Records are read seldom and written with every attempt: compressing them costs more than it saves.
ALTER TABLE routing.decision ALTER COLUMN record SET STORAGE EXTERNAL;

GRANT SELECT, INSERT ON routing.decision TO hutong_app;
