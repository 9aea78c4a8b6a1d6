-- What a superuser may do behind the triggers. Each statement stands under its name, the check that must find it, and
-- the beginning of what the proof must name. Names in braces are those of the history in test_tampering.py.

-- amount | rows | row {plain}
UPDATE ledger.transfer SET amount = amount + 1 WHERE id = '{plain}';

-- reference | rows | row {plain}
UPDATE ledger.transfer SET user_data_128 = '{old}' WHERE id = '{plain}';

-- user data 64 | rows | row {plain}
UPDATE ledger.transfer SET user_data_64 = 5 WHERE id = '{plain}';

-- user data 32 | rows | row {reversal}
UPDATE ledger.transfer SET user_data_32 = 5 WHERE id = '{reversal}';

-- accounting date | rows | row {plain}
UPDATE ledger.transfer SET accounting_date = accounting_date + 1 WHERE id = '{plain}';

-- debited account | rows | row {fee}
UPDATE ledger.transfer SET debit_account_id = '{account 5}' WHERE id = '{fee}';

-- credited account | rows | row {fee}
UPDATE ledger.transfer SET credit_account_id = '{account 6}' WHERE id = '{fee}';

-- ledger of a row | rows | row {fee}
UPDATE ledger.transfer SET ledger = 840 WHERE id = '{fee}';

-- code of a row | rows | row {fee}
UPDATE ledger.transfer SET code = 2 WHERE id = '{fee}';

-- flags of a row | rows | row {open}
UPDATE ledger.transfer SET flags = 0 WHERE id = '{open}';

-- timestamp | rows | row {fee}
UPDATE ledger.transfer SET timestamp = timestamp + 1 WHERE id = '{fee}';

-- version | rows | row {fee}
UPDATE ledger.transfer SET debit_version = debit_version + 1000 WHERE id = '{fee}';

-- balance after | rows | row {fee}
UPDATE ledger.transfer SET debit_debits_posted = 1 WHERE id = '{fee}';

-- timeout of a hold | rows | row {expired}
UPDATE ledger.transfer SET timeout = 9 WHERE id = '{expired}';

-- hold of a posting | rows | row {end of posted}
UPDATE ledger.transfer SET pending_id = '{voided}' WHERE id = '{end of posted}';

-- transaction of a row | rows | row {plain}
UPDATE ledger.transfer SET xact = xact + 1 WHERE id = '{plain}';

-- row deleted | steps | account {account 4}
DELETE FROM ledger.transfer WHERE id = '{fee}';

-- last row deleted | steps | account {account 1}
DELETE FROM ledger.transfer WHERE id = '{last}';

-- row forged outside of seals | outside | row 019c0000-0000-0000-0000-00000000f0e5
INSERT INTO ledger.transfer SELECT (t).* FROM (SELECT jsonb_populate_record(x, jsonb_build_object('id',
'019c0000-0000-0000-0000-00000000f0e5', 'timestamp', x.timestamp + 7, 'debit_version', 9000, 'credit_version', 9000,
'xact', -1)) AS t FROM ledger.transfer x WHERE id = '{plain}') y;

-- row forged in a seal | rows | row 019c0000-0000-0000-0000-00000000f0e5
INSERT INTO ledger.transfer SELECT (t).* FROM (SELECT jsonb_populate_record(x, jsonb_build_object('id',
'019c0000-0000-0000-0000-00000000f0e5', 'timestamp', x.timestamp + 7, 'debit_version', 9000, 'credit_version', 9000,
'xact', x.xact)) AS t FROM ledger.transfer x WHERE id = '{plain}') y;

-- row forged after the seals | steps | row 019c0000-0000-0000-0000-00000000f0e5
INSERT INTO ledger.transfer SELECT (t).* FROM (SELECT jsonb_populate_record(x, jsonb_build_object('id',
'019c0000-0000-0000-0000-00000000f0e5', 'timestamp', x.timestamp + 7, 'debit_version', 9000, 'credit_version', 9000,
'xact', pg_current_xact_id()::text::bigint)) AS t FROM ledger.transfer x WHERE id = '{plain}') y;

-- row forged in the future | outside | row 019c0000-0000-0000-0000-00000000f0e5
INSERT INTO ledger.transfer SELECT (t).* FROM (SELECT jsonb_populate_record(x, jsonb_build_object('id',
'019c0000-0000-0000-0000-00000000f0e5', 'timestamp', x.timestamp + 7, 'debit_version', 9000, 'credit_version', 9000,
'xact', 1000000000000)) AS t FROM ledger.transfer x WHERE id = '{plain}') y;

-- accounts of a row deleted | steps | row {carry}
DELETE FROM ledger.account WHERE id = '{account 4}';

-- account balance | steps | account {account 3}
UPDATE ledger.account SET credits_posted = 0 WHERE id = '{account 3}';

-- two balances | steps | account {account 3}
UPDATE ledger.account SET debits_posted = debits_posted + 1, credits_posted = credits_posted + 1 WHERE id = '{account
3}';

-- account version | steps | account {account 3}
UPDATE ledger.account SET version = 1 WHERE id = '{account 3}';

-- code of an account | accounts | account {account 1}
UPDATE ledger.account SET code = 4001 WHERE id = '{account 1}';

-- owner of an account | accounts | account {account 2}
UPDATE ledger.account SET user_data_128 = '{old}' WHERE id = '{account 2}';

-- ledger of an account | accounts | account {account 6}
UPDATE ledger.account SET ledger = 840 WHERE id = '{account 6}';

-- limit taken off | accounts | account {account 5}
UPDATE ledger.account SET flags = 0 WHERE id = '{account 5}';

-- account closed | accounts | account {account 5}
UPDATE ledger.account SET flags = flags | 32 WHERE id = '{account 5}';

-- overdraft limit | accounts | account {account 2}
UPDATE ledger.account SET overdraft_limit = 9999 WHERE id = '{account 2}';

-- time of an account | accounts | account {account 6}
UPDATE ledger.account SET timestamp = timestamp - 1 WHERE id = '{account 6}';

-- unused account deleted | accounts | account {account 6}
DELETE FROM ledger.account WHERE id = '{account 6}';

-- account added | accounts | account {plain}
INSERT INTO ledger.account (id, timestamp, ledger, code, flags, user_data_128, user_data_64, user_data_32) VALUES
('{plain}', 5, 156, 4001, 0, '{plain}', 0, 0);

-- record of an account | records | account_change 
UPDATE ledger.account_change SET flags = 0 WHERE account_id = '{account 5}';

-- record and account | records | account_change 
WITH a AS (UPDATE ledger.account SET flags = 0 WHERE id = '{account 5}') UPDATE ledger.account_change SET flags = 0
WHERE account_id = '{account 5}';

-- record of an account deleted | accounts | account {account 6}
DELETE FROM ledger.account_change WHERE account_id = '{account 6}';

-- overdraft record | records | overdraft_change 
UPDATE ledger.overdraft_change SET changed_by = 'B. Wang' WHERE new_limit = 60;

-- overdraft record deleted | accounts | account {account 2}
DELETE FROM ledger.overdraft_change WHERE new_limit = 60;

-- first overdraft record deleted | accounts | overdraft_change 
DELETE FROM ledger.overdraft_change WHERE new_limit = 40;

-- failed id forgotten | rows | seal 
DELETE FROM ledger.transfer WHERE id = '{failed}';

-- failed id with another reason | rows | row {failed}
UPDATE ledger.transfer SET user_data_32 = 1 WHERE id = '{failed}';

-- hold posted to voided | holds | hold {posted}
UPDATE ledger.pending SET state = 3 WHERE id = '{posted}';

-- hold set back | holds | hold {voided}
UPDATE ledger.pending SET state = 1 WHERE id = '{voided}';

-- open hold closed | holds | hold {open}
UPDATE ledger.pending SET state = 3 WHERE id = '{open}';

-- hold forgotten | holds | hold {open}
DELETE FROM ledger.pending WHERE id = '{open}';

-- end of a hold | holds | hold {open}
UPDATE ledger.pending SET expires_at = 5 WHERE id = '{open}';

-- account of a hold | holds | hold {open}
UPDATE ledger.pending SET debit_account_id = '{account 5}' WHERE id = '{open}';

-- hold without a row | holds | hold {plain}
INSERT INTO ledger.pending VALUES ('{plain}', '{account 1}', '{account 2}', 0, 1);

-- reversal forgotten | holds | row {reversal}
DELETE FROM ledger.reversal;

-- reversal of another | reversals | reversal of {plain}
UPDATE ledger.reversal SET transfer_id = '{plain}';

-- reason of a reversal | records | reversal {wrong}
UPDATE ledger.reversal SET reason = 'none';

-- day balance | days | account {account 1}
UPDATE ledger.day_balance SET closing_debits = closing_debits + 1 WHERE account_id = '{account 1}';

-- day balance that adds up | steps | account {account 4}
UPDATE ledger.day_balance SET debits = debits + 1, closing_debits = closing_debits + 1 WHERE account_id = '{account
4}';

-- day balance deleted | steps | account {account 4}
DELETE FROM ledger.day_balance WHERE account_id = '{account 4}';

-- day balance forged | steps | account {account 6}
INSERT INTO ledger.day_balance SELECT '{first day}', '{account 6}', 156, 4001, 0, 0, 5, 0, 5, 0;

-- day of a subject | days | subject 2001 of ledger 156
UPDATE ledger.day_subject SET closing_credits = closing_credits + 1 WHERE code = 2001;

-- day of a subject deleted | days | subject 4001 of ledger 156
DELETE FROM ledger.day_subject WHERE code = 4001 AND day = '{last day}';

-- closed day forgotten | days | day 
DELETE FROM ledger.day_cut WHERE day = '{middle day}';

-- closed day set back | days | day {middle day}
UPDATE ledger.accounting_day SET batch_date = batch_date - 1;

-- leaves of a seal | seals | seal 2
UPDATE ledger.seal SET leaves = overlay(leaves PLACING '\x00' FROM 1) WHERE seq = 2;

-- range of a seal | seals | seal 
UPDATE ledger.seal SET to_xact = to_xact + 1000000 WHERE seq = (SELECT max(seq) FROM ledger.seal);

-- rows of a seal | seals | seal 2
UPDATE ledger.seal SET row_count = 1 WHERE seq = 2;

-- time of a seal | seals | seal 2
UPDATE ledger.seal SET sealed_at = '2026-01-01' WHERE seq = 2;

-- records of a seal | seals | seal 1
UPDATE ledger.seal SET record_count = 0, records = '' WHERE seq = 1;

-- version of a seal | seals | seal 2
UPDATE ledger.seal SET version = 1 WHERE seq = 2;

-- hash of a seal | seals | seal 2
UPDATE ledger.seal SET hash = sha256('x') WHERE seq = 2;

-- seal deleted | seals | seal 
DELETE FROM ledger.seal WHERE seq = 2;

-- memo entry | memos | memo points of {owner}
UPDATE ledger.memo_entry SET amount = amount + 1 WHERE seq = 2;

-- memo entry with its total | records | memo_entry points {owner} 3
WITH t AS (UPDATE ledger.memo_total SET total = total + 1) UPDATE ledger.memo_entry SET amount = amount + 1,
total_after = total_after + 1 WHERE seq = 3;

-- memo total | memos | memo points of {owner}
UPDATE ledger.memo_total SET total = total + 1;

-- memo entry deleted | memos | memo points of {owner}
DELETE FROM ledger.memo_entry WHERE seq = 3;

-- archived row | rows | row {old}
UPDATE ledger_archive.{archived} SET amount = 5 WHERE id = '{old}';

-- checksum of the archive | archive | partition {archived}
UPDATE ledger.partition SET checksum = sha256('x') WHERE archived_at IS NOT NULL;

-- archive without its rows | archive | partition {archived}
DELETE FROM ledger_archive.{archived};

-- person of a closing | records | account_closing 
UPDATE ledger.account_closing SET changed_by = 'B. Wang' WHERE id = (SELECT max(id) FROM ledger.account_closing);

-- closings turned around | accounts | account {account 7}
UPDATE ledger.account_closing SET closed = NOT closed WHERE account_id = '{account 7}';

-- last closing deleted | accounts | account {account 7}
DELETE FROM ledger.account_closing WHERE id = (SELECT max(id) FROM ledger.account_closing);

-- closing forged | accounts | account {account 5}
INSERT INTO ledger.account_closing (account_id, closed, changed_at, changed_by, reason)
VALUES ('{account 5}', true, now(), 'A. Li', 'agreed');

-- account closed without a person | accounts | account {account 5}
WITH a AS (UPDATE ledger.account SET flags = flags + 32 WHERE id = '{account 5}') INSERT INTO ledger.account_change
(account_id, ledger, code, flags, overdraft_limit, timestamp, user_data_128, user_data_64, user_data_32, made_by, xact)
SELECT account_id, ledger, code, flags + 32, overdraft_limit, timestamp, user_data_128, user_data_64, user_data_32,
made_by, ledger.this_xact() FROM ledger.account_change WHERE account_id = '{account 5}';

-- reason of a closed month | records | period_closing 2026-03
UPDATE ledger.period_closing SET reason = 'none';

-- last day of a closed month | periods | period 2026-03
UPDATE ledger.period_closing SET last_day = last_day - 1;

-- closed month deleted | periods | period_carry 2026-03 {account 4}
DELETE FROM ledger.period_closing;

-- closed month left out | periods | period 2026-05
INSERT INTO ledger.period_closing (period, last_day, closed_at, closed_by, reason)
VALUES ('2026-05', '2026-05-31', now(), 'A. Li', 'agreed');

-- closed year forged | periods | period 2025
INSERT INTO ledger.period_closing (period, last_day, closed_at, closed_by, reason)
VALUES ('2025', '2025-12-31', now(), 'A. Li', 'agreed');

-- amount carried | periods | period_carry 2026-03 {account 4}
UPDATE ledger.period_carry SET amount = amount + 1;

-- carry as it was sealed | records | period_carry 2026-03 {account 4}
UPDATE ledger.period_carry SET amount = amount + 1;

-- account of a carry | periods | period_carry 2026-03 {account 6}
UPDATE ledger.period_carry SET account_id = '{account 6}';

-- row of a carry | periods | period_carry 2026-03 {account 4}
UPDATE ledger.period_carry SET transfer_id = '{plain}';

-- carry deleted | holds | row {carry}
DELETE FROM ledger.period_carry;

-- name of a subject | records | subject 5099
UPDATE ledger.subject SET name_en = 'Other costs' WHERE code = 5099;

-- cover of a subject | records | subject 5099
UPDATE ledger.subject SET covered = true WHERE code = 5099;

-- subject deleted | records | seal 
DELETE FROM ledger.subject;

-- subject forged outside of seals | outside | subject 5098
INSERT INTO ledger.subject SELECT 5098, 'Forged', '伪造', owner, covered, added_at, added_by, reason, -1 FROM ledger.subject;

-- target of a standing order | orders | standing order {order}
UPDATE ledger.sweep SET to_account_id = '{account 5}';

-- amount of a standing order | orders | standing order {order}
UPDATE ledger.sweep SET most_minor = most_minor + 1;

-- standing order stopped | orders | standing order {order}
UPDATE ledger.sweep SET active = false;

-- standing order deleted | orders | standing order {order}
DELETE FROM ledger.sweep;

-- standing order forged | orders | standing order {plain}
INSERT INTO ledger.sweep (id, from_account_id, to_account_id, most_minor, every, next_at, first_at, created_by)
VALUES ('{plain}', '{account 2}', '{account 5}', 5, '1 day', now(), now(), 'A. Li');

-- standing order with its record | records | sweep_change 
WITH s AS (UPDATE ledger.sweep SET to_account_id = '{account 5}') UPDATE ledger.sweep_change
SET to_account_id = '{account 5}';

-- run of a standing order | orders | sweep_run {order} {run}
UPDATE ledger.sweep_run SET amount_minor = 5;

-- failure of a standing order | records | sweep_run {order} {run}
UPDATE ledger.sweep_run SET status = 54;

-- run of a standing order deleted | records | seal 
DELETE FROM ledger.sweep_run;
