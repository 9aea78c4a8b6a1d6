-- depends: routing-0002.refusals
-- Where operators confirm each switch: what health suggests, and what was confirmed.

CREATE TABLE routing.suggestion (
    id uuid PRIMARY KEY,
    what text NOT NULL CHECK (what IN ('leave', 'return')),
    account text NOT NULL,
    interface text NOT NULL,
    why text NOT NULL,
    since timestamptz NOT NULL,
    suggested_at timestamptz NOT NULL,
    decision text CHECK (decision IN ('confirmed', 'dismissed')),
    decided_by uuid,
    decided_at timestamptz,
    reason text CHECK (char_length(reason) BETWEEN 1 AND 500),
    -- Confirmed, or no longer what health says. A dismissed one stands until then, so that it does not come again.
    ended_at timestamptz,
    CHECK ((decision IS NULL) = (decided_by IS NULL AND decided_at IS NULL AND reason IS NULL)),
    CHECK (decision <> 'confirmed' OR ended_at IS NOT NULL)
);

CREATE UNIQUE INDEX suggestion_standing_idx ON routing.suggestion (account, interface) WHERE ended_at IS NULL;

GRANT SELECT, INSERT ON routing.suggestion TO hutong_app;
GRANT UPDATE (decision, decided_by, decided_at, reason, ended_at) ON routing.suggestion TO hutong_app;

-- A confirmed leave keeps one interface of an account empty in the products whose operators confirm.
ALTER TABLE routing.override
    ADD COLUMN interface text NOT NULL DEFAULT '',
    DROP CONSTRAINT override_kind_check,
    DROP CONSTRAINT override_check,
    ADD CONSTRAINT override_kind_check CHECK (kind IN ('pin', 'block', 'leave')),
    ADD CONSTRAINT override_pin_check CHECK (kind <> 'pin' OR until IS NOT NULL);

CREATE UNIQUE INDEX override_leave_idx ON routing.override (account, interface)
WHERE kind = 'leave' AND lifted_at IS NULL;
