-- name: make_bench_schema
-- A schema of its own, so that measuring leaves no trace in anybody's tables.
CREATE SCHEMA hutong_bench;

-- name: make_bench_order
-- The first of the two tables that one transaction writes to, as a payment and its event would be.
CREATE TABLE hutong_bench.bench_order (
    order_id bigint PRIMARY KEY,
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL
);

-- name: make_bench_event
-- The second table.
CREATE TABLE hutong_bench.bench_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL,
    body text NOT NULL
);

-- name: drop_bench_schema
-- Also takes away what an earlier run that was killed has left.
DROP SCHEMA IF EXISTS hutong_bench CASCADE;

-- name: add_bench_orders
-- Set-based, so that the same statement serves one command and five hundred.
INSERT INTO hutong_bench.bench_order (order_id, amount_minor, currency)
SELECT given.order_id, given.amount_minor, given.currency
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS given (order_id, amount_minor, currency);

-- name: add_bench_events
-- Set-based as well.
INSERT INTO hutong_bench.bench_event (order_id, body)
SELECT given.order_id, given.body
FROM unnest($1::bigint[], $2::text[]) AS given (order_id, body);

-- name: count_bench_rows
-- Proves that every command counted as done is there, in both tables.
SELECT
    (SELECT count(*) FROM hutong_bench.bench_order) AS orders,
    (SELECT count(*) FROM hutong_bench.bench_event) AS events;
