-- depends: routing-0006.decisions
-- The ids of attempts no longer rise with time: decisions are found by their instant.

CREATE INDEX decision_decided_at_idx ON routing.decision (decided_at);
