BEGIN;
SELECT balance FROM hot_account WHERE id = 1 FOR UPDATE;
UPDATE hot_account SET balance = balance + 1 WHERE id = 1;
INSERT INTO hot_entry (account, amount, at) VALUES (1, 1, now());
COMMIT;
