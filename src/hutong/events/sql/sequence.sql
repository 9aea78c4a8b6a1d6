-- name: anything_new
-- Runs ten times a second, so it takes no lock and writes nothing. The transactions that the last round did not see are
-- those after its snapshot and those that its snapshot lists; one index range and one probe each, however long one runs.
WITH last AS MATERIALIZED (
    SELECT snapshot FROM events.sequencer
    WHERE cluster = (SELECT system_identifier FROM pg_control_system())
        AND pg_snapshot_xmax(snapshot) <= pg_snapshot_xmax(pg_current_snapshot())
)
SELECT NOT EXISTS (SELECT FROM last)
    OR EXISTS (
        SELECT FROM events.outbox o
        WHERE o.transaction_id >= (SELECT pg_snapshot_xmax(snapshot) FROM last)
            AND o.transaction_id < pg_snapshot_xmax(pg_current_snapshot())
    )
    OR EXISTS (
        SELECT FROM events.outbox o
        WHERE o.transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(snapshot) FROM last))
    );

-- name: lock_sequencer
-- One round at a time. The round's own statement runs afterwards, so that its snapshot is younger than the lock. A
-- process that finds it taken need not wait: the other one does the work.
SELECT single FROM events.sequencer FOR UPDATE SKIP LOCKED;

-- name: number_new
-- Give numbers to all new events, inside the server: a backlog of millions does not pass through this process. New events
-- are those that the last snapshot did not see and this statement's does, which includes late commits and waits for
-- nothing. Where transaction ids mean nothing (in the first round, or in another cluster than the last round's), new
-- events are those without a number. Rows restored from another cluster may have ids that are still to come in this one:
-- rows with a number are skipped, and the range ends at the transactions that have begun, so that each row is met once.
-- The order is that of the ids, but the events of one object keep their own order.
WITH state AS MATERIALIZED (
    SELECT known.snapshot, known.snapshot IS NULL AS unknown
    FROM events.sequencer s
    LEFT JOIN LATERAL (
        SELECT s.snapshot
        WHERE s.cluster = (SELECT system_identifier FROM pg_control_system())
            AND pg_snapshot_xmax(s.snapshot) <= pg_snapshot_xmax(pg_current_snapshot())
    ) known ON true
),
candidate AS (
    SELECT o.event_id, o.type, o.object_id, o.object_seq
    FROM events.outbox o
    WHERE o.transaction_id >= (SELECT pg_snapshot_xmax(snapshot) FROM state)
        AND o.transaction_id < pg_snapshot_xmax(pg_current_snapshot())
    UNION ALL
    SELECT o.event_id, o.type, o.object_id, o.object_seq
    FROM events.outbox o
    WHERE o.transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(snapshot) FROM state))
    UNION ALL
    SELECT o.event_id, o.type, o.object_id, o.object_seq
    FROM events.outbox o
    WHERE (SELECT unknown FROM state)
),
ordered AS (
    SELECT c.event_id, events.stream_of($1::text, c.type, $2::integer) AS stream, c.object_seq,
        max(c.event_id::text COLLATE "C") OVER (PARTITION BY c.object_id ORDER BY c.object_seq) AS place
    FROM candidate c
    WHERE NOT EXISTS (SELECT FROM events.stream_entry e WHERE e.event_id = c.event_id)
),
numbered AS (
    SELECT event_id, stream, row_number() OVER (PARTITION BY stream ORDER BY place, object_seq) AS nth FROM ordered
),
counted AS (
    INSERT INTO events.stream AS s (stream, last_no)
    SELECT stream, max(nth) FROM numbered GROUP BY stream ORDER BY stream
    ON CONFLICT (stream) DO UPDATE SET last_no = s.last_no + EXCLUDED.last_no
    RETURNING s.stream, s.last_no
),
entered AS (
    INSERT INTO events.stream_entry (stream, no, event_id)
    SELECT n.stream, c.last_no - max(n.nth) OVER (PARTITION BY n.stream) + n.nth, n.event_id
    FROM numbered n JOIN counted c ON c.stream = n.stream
    RETURNING no
),
noted AS (
    UPDATE events.sequencer
    SET snapshot = pg_current_snapshot(), cluster = (SELECT system_identifier FROM pg_control_system())
)
SELECT count(*) FROM entered;
