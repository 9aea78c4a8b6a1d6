-- depends: operators-0001.operators db-0005.parts

-- Only commands make and disable operators, and only requests and commands write proposals.
REVOKE INSERT ON operators.operator FROM hutong_app;
REVOKE UPDATE (disabled_at) ON operators.operator FROM hutong_app;
GRANT INSERT ON operators.operator TO hutong_console;
GRANT UPDATE (disabled_at) ON operators.operator TO hutong_console;

REVOKE INSERT ON operators.proposal FROM hutong_app;
REVOKE UPDATE (state, checker_id, decision_reason, decided_at) ON operators.proposal FROM hutong_app;
GRANT INSERT ON operators.proposal TO hutong_api;
GRANT UPDATE (state, checker_id, decision_reason, decided_at) ON operators.proposal TO hutong_api;

-- A proposal whose maker is disabled is void: nobody decides it any more.
ALTER TABLE operators.proposal
    DROP CONSTRAINT proposal_state_check,
    DROP CONSTRAINT proposal_check2,
    ADD CONSTRAINT proposal_state_check CHECK (state IN ('open', 'approved', 'rejected', 'void')),
    ADD CONSTRAINT proposal_checker_check CHECK ((state IN ('open', 'void')) = (checker_id IS NULL));

CREATE OR REPLACE FUNCTION operators.decide_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'open' THEN
        RAISE EXCEPTION 'proposal % was decided before', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.state = 'approved' AND EXISTS (
        SELECT FROM operators.operator o WHERE o.id = NEW.maker_id AND o.disabled_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'the maker of proposal % is disabled', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

WITH void AS (
    UPDATE operators.proposal p
    SET state = 'void', decided_at = now(), decision_reason = 'the maker was disabled before'
    FROM operators.operator o
    WHERE o.id = p.maker_id AND o.disabled_at IS NOT NULL AND p.state = 'open' AND p.expires_at > now()
    RETURNING p.id, p.action, p.object_kind, p.object_id
)
INSERT INTO operators.audit (at, action, object_kind, object_id, reason, after)
SELECT now(), 'proposal.void', 'proposal', db.type_id('prp', v.id), 'the maker was disabled before',
    jsonb_build_object('action', v.action, 'object_kind', v.object_kind, 'object_id', v.object_id)
FROM void v ORDER BY v.id;

-- The journal states what each operator is, so that one who was written past it is seen. Of the key it has the hash of the
-- kept hash.
INSERT INTO operators.audit (at, action, object_kind, object_id, reason, after)
SELECT now(), 'operator.record', 'operator', db.type_id('opr', o.id), 'as it was when journals began to state keys',
    jsonb_build_object('name', o.name, 'role', o.role, 'key', encode(sha256(o.key_hash), 'hex'))
FROM operators.operator o
WHERE EXISTS (
    SELECT FROM operators.audit a
    WHERE a.object_kind = 'operator' AND a.object_id = db.type_id('opr', o.id) AND a.action = 'operator.add'
        AND a.after @> jsonb_build_object('name', o.name, 'role', o.role)
)
ORDER BY o.id;
