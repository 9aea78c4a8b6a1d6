-- depends: payments-0011.refunds_in_doubt routing-0006.decisions
-- Decisions move to the log of routing; the rows of attempts, which are rewritten with each report, get smaller.

INSERT INTO routing.decision (attempt_id, payment_id, account_id, decided_at, record)
SELECT a.id, a.payment_id, a.account_id, a.created_at, a.decision
FROM payments.attempt AS a
WHERE a.decision IS NOT NULL
ORDER BY a.id;

ALTER TABLE payments.attempt DROP COLUMN decision;
