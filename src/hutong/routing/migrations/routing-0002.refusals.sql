-- depends: routing-0001.routing
-- Decisions that found no way: no attempt keeps them, and a rehearsal must see them.

CREATE TABLE routing.refusal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    record text NOT NULL
);

CREATE INDEX refusal_at_idx ON routing.refusal (at);

GRANT SELECT, INSERT, DELETE ON routing.refusal TO hutong_app;
