-- name: make_bench_schema
-- A separate schema, so that measuring leaves no trace in other tables.
CREATE SCHEMA hutong_bench;

-- name: make_bench_order
-- The first of the two tables that a transaction writes; the pair stands for a payment and its event.
CREATE TABLE hutong_bench.bench_order (
    order_id bigint PRIMARY KEY,
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL
);

-- name: make_bench_event
-- The second of the two tables.
CREATE TABLE hutong_bench.bench_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL,
    body text NOT NULL
);

-- name: drop_bench_schema
-- Also removes the leftovers of an earlier run that was killed.
DROP SCHEMA IF EXISTS hutong_bench CASCADE;

-- name: add_bench_orders
-- Set-based: the same statement serves one command and five hundred.
INSERT INTO hutong_bench.bench_order (order_id, amount_minor, currency)
SELECT input.order_id, input.amount_minor, input.currency
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS input (order_id, amount_minor, currency);

-- name: add_bench_events
-- Set-based as well, for the second table.
INSERT INTO hutong_bench.bench_event (order_id, body)
SELECT input.order_id, input.body
FROM unnest($1::bigint[], $2::text[]) AS input (order_id, body);

-- name: count_bench_rows
-- Proves that every command counted as done is in both tables.
SELECT
    (SELECT count(*) FROM hutong_bench.bench_order) AS orders,
    (SELECT count(*) FROM hutong_bench.bench_event) AS events;
