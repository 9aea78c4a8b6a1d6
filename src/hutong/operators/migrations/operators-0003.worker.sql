-- depends: operators-0002.parts events-0007.epochs ledger-0009.records

-- Only the worker numbers, publishes and archives events, keeps the log of deliveries, and closes and seals the books.
REVOKE EXECUTE ON FUNCTION events.begin_partitions(text, bigint), events.add_partition(text, bigint, bigint),
    events.detach_partition(text, timestamptz), events.archived_rows(text),
    events.drop_archived(text, bigint, text, timestamptz), events.told(text, boolean) FROM hutong_app;
GRANT EXECUTE ON FUNCTION events.begin_partitions(text, bigint), events.add_partition(text, bigint, bigint),
    events.detach_partition(text, timestamptz), events.archived_rows(text),
    events.drop_archived(text, bigint, text, timestamptz), events.told(text, boolean) TO hutong_worker;
REVOKE INSERT, UPDATE ON events.stream FROM hutong_app;
REVOKE INSERT ON events.stream_entry, events.delivery_try FROM hutong_app;
REVOKE UPDATE ON events.sequencer FROM hutong_app;
GRANT INSERT, UPDATE ON events.stream TO hutong_worker;
GRANT INSERT ON events.stream_entry, events.delivery_try TO hutong_worker;
GRANT UPDATE ON events.sequencer TO hutong_worker;

REVOKE EXECUTE ON FUNCTION ledger.add_partition(bigint, bigint) FROM hutong_app;
GRANT EXECUTE ON FUNCTION ledger.add_partition(bigint, bigint) TO hutong_worker;
REVOKE INSERT ON ledger.seal, ledger.sweep_run FROM hutong_app;
REVOKE INSERT, UPDATE ON ledger.day_cut FROM hutong_app;
REVOKE INSERT, DELETE ON ledger.day_balance, ledger.day_subject FROM hutong_app;
GRANT INSERT ON ledger.seal, ledger.sweep_run TO hutong_worker;
GRANT INSERT, UPDATE ON ledger.day_cut TO hutong_worker;
GRANT INSERT, DELETE ON ledger.day_balance, ledger.day_subject TO hutong_worker;

-- Endpoints are made by requests alone.
REVOKE INSERT ON events.endpoint FROM hutong_app;
GRANT INSERT ON events.endpoint TO hutong_api;
