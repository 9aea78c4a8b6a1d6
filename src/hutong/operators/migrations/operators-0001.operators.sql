-- depends: db-0001.role
-- Who may act on the platform, what they propose to one another, and the journal of what they did.

CREATE SCHEMA operators;
GRANT USAGE ON SCHEMA operators TO hutong_app;

CREATE TABLE operators.operator (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'approver', 'admin')),
    key_hash bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

-- The name of somebody who has left may be given again.
CREATE UNIQUE INDEX operator_name_idx ON operators.operator (name) WHERE disabled_at IS NULL;

GRANT SELECT, INSERT ON operators.operator TO hutong_app;
GRANT UPDATE (disabled_at) ON operators.operator TO hutong_app;

CREATE TABLE operators.proposal (
    id uuid PRIMARY KEY,
    action text NOT NULL CHECK (action ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'),
    object_kind text NOT NULL CHECK (char_length(object_kind) BETWEEN 1 AND 64),
    object_id text NOT NULL CHECK (char_length(object_id) BETWEEN 1 AND 255),
    payload jsonb NOT NULL,
    reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
    maker_id uuid NOT NULL REFERENCES operators.operator,
    proposed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > proposed_at),
    state text NOT NULL CHECK (state IN ('open', 'approved', 'rejected')),
    checker_id uuid REFERENCES operators.operator,
    decision_reason text CHECK (char_length(decision_reason) BETWEEN 1 AND 500),
    decided_at timestamptz,
    CHECK (checker_id <> maker_id),
    CHECK ((state = 'open') = (checker_id IS NULL)),
    CHECK ((state = 'open') = (decision_reason IS NULL)),
    CHECK ((state = 'open') = (decided_at IS NULL)),
    CHECK (decided_at < expires_at)
);

CREATE INDEX proposal_open_idx ON operators.proposal (id) WHERE state = 'open';
CREATE INDEX proposal_object_idx ON operators.proposal (object_kind, object_id, id);

-- What was decided stays decided, whoever writes.
CREATE FUNCTION operators.decide_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'open' THEN
        RAISE EXCEPTION 'proposal % was decided before', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER proposal_is_decided_once BEFORE UPDATE ON operators.proposal
    FOR EACH ROW EXECUTE FUNCTION operators.decide_once();

GRANT SELECT, INSERT ON operators.proposal TO hutong_app;
GRANT UPDATE (state, checker_id, decision_reason, decided_at) ON operators.proposal TO hutong_app;

CREATE TABLE operators.audit (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor_id uuid REFERENCES operators.operator, -- NULL is the system itself
    action text NOT NULL CHECK (action ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'),
    object_kind text NOT NULL CHECK (char_length(object_kind) BETWEEN 1 AND 64),
    object_id text NOT NULL CHECK (char_length(object_id) BETWEEN 1 AND 255),
    reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
    before jsonb,
    after jsonb,
    request_id text CHECK (char_length(request_id) BETWEEN 1 AND 64),
    hash bytea NOT NULL CHECK (length(hash) = 32)
);

CREATE INDEX audit_object_idx ON operators.audit (object_kind, object_id, seq);

-- The end of the chain, so that a row removed at the end is missed as well.
CREATE TABLE operators.audit_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    seq bigint NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO operators.audit_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- Everything a row says, and the hash of the row before it. The instant goes in as a number, since its text depends on
-- the session's time zone.
CREATE FUNCTION operators.audit_hash(before bytea, r operators.audit) RETURNS bytea IMMUTABLE LANGUAGE sql AS $$
    SELECT sha256(before || convert_to(jsonb_build_array(
        r.seq, (extract(epoch FROM r.at) * 1000000)::bigint, r.actor_id, r.action, r.object_kind, r.object_id, r.reason,
        r.before, r.after, r.request_id
    )::text, 'UTF8'))
$$;

-- The next link. It runs with its owner's rights: the application can write neither a number, nor a hash, nor the head.
-- The head stays locked until the writer commits, so that the chain has one order.
CREATE FUNCTION operators.append_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head operators.audit_head;
BEGIN
    SELECT h.singleton, h.seq, h.hash INTO head FROM operators.audit_head h FOR UPDATE;
    NEW.seq := head.seq + 1;
    NEW.hash := operators.audit_hash(head.hash, NEW);
    UPDATE operators.audit_head SET seq = NEW.seq, hash = NEW.hash;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_is_chained BEFORE INSERT ON operators.audit
    FOR EACH ROW EXECUTE FUNCTION operators.append_audit();

GRANT SELECT ON operators.audit, operators.audit_head TO hutong_app;
GRANT INSERT (at, actor_id, action, object_kind, object_id, reason, before, after, request_id)
    ON operators.audit TO hutong_app;
