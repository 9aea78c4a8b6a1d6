-- columns: difference_progress
-- What persons decide, and what its end changes.
state text, suspense_minor bigint, cost_minor bigint, postings integer, owner_id uuid, action text, proposal_id uuid,
voucher uuid, resolved_at timestamptz, reason text, partner_id uuid

-- columns: difference_figures
-- What a run may change.
content text, currency text, amount_minor bigint, ours text, theirs text, reference text, last_day date,
reopened integer, {difference_progress}

-- columns: difference_identity
-- What never changes.
account_id uuid, layer text, side text, key text, first_day date, opened_at timestamptz

-- columns: difference
id AS difference_id, {difference_identity}, class AS klass, column_name AS column, {difference_figures}

-- columns: difference_entry
difference_id uuid, what text, by text, reason text, amount_minor bigint, voucher uuid

-- name: lock_account_differences
-- One run at a time brings in what it found about an account.
SELECT pg_advisory_xact_lock(hashtextextended('differences ' || $1::uuid, 0));

-- name: known_differences
-- Everything of a layer that is not resolved, and what is reported now, locked in one order.
SELECT {d.difference} FROM reconciliation.difference AS d
WHERE d.account_id = :account_id AND d.layer = :layer AND (d.state <> 'resolved' OR EXISTS (
    SELECT 1 FROM unnest(:side::text[], :key::text[], :klass::text[], :column::text[]) AS f (side, key, class, named)
    WHERE (f.side, f.key, f.class, f.named) = (d.side, d.key, d.class, d.column_name)
))
ORDER BY d.id FOR UPDATE;

-- name: insert_differences
-- Differences that no run has found before.
INSERT INTO reconciliation.difference (id, class, column_name, {difference_identity}, {difference_figures})
SELECT n.id, n.class, n.named, {n.difference_identity}, {n.difference_figures}
FROM unnest(:difference_id::uuid[], :klass::text[], :column::text[], {difference_identity[]}, {difference_figures[]})
    AS n (id, class, named, {difference_identity}, {difference_figures});

-- name: update_differences
-- Differences that the caller has locked.
UPDATE reconciliation.difference AS d
SET ({difference_figures}) = ROW ({u.difference_figures})
FROM unnest(:difference_id::uuid[], {difference_figures[]}) AS u (id, {difference_figures})
WHERE d.id = u.id;

-- name: advance_differences
-- Differences that the caller has locked, and whose figures stay as they are.
UPDATE reconciliation.difference AS d
SET ({difference_progress}) = ROW ({u.difference_progress})
FROM unnest(:difference_id::uuid[], {difference_progress[]}) AS u (id, {difference_progress})
WHERE d.id = u.id;

-- name: insert_difference_entries
-- Their history, in the order in which it happened.
INSERT INTO reconciliation.difference_entry (at, {difference_entry})
SELECT :at::timestamptz, {n.difference_entry}
FROM unnest({difference_entry[]}) WITH ORDINALITY AS n ({difference_entry}, place)
ORDER BY n.place;

-- name: closed_keys
-- What has ended without a partner: its rows wait for nothing any more.
SELECT DISTINCT layer, side, key FROM reconciliation.difference
WHERE account_id = :account_id AND state = 'resolved' AND action = ANY (:actions::text[])
ORDER BY layer, side, key;

-- name: suspense_apart_from_cases
-- Suspense accounts whose postings of differences, and reversals of them, do not add up to what the open cases say.
WITH booked AS (
    SELECT b.owner_id, b.ledger, sum(b.amount) AS amount_minor
    FROM (
        SELECT a.user_data_128 AS owner_id, a.ledger, j.amount FROM ledger.account AS a
        JOIN ledger.journal AS j ON j.credit_account_id = a.id AND j.flags < 32768
        WHERE a.code = :suspense AND (j.code = ANY (:codes::integer[])
            OR j.code = :reversal AND j.user_data_32 = ANY (:codes::integer[]))
        UNION ALL
        SELECT a.user_data_128, a.ledger, -j.amount FROM ledger.account AS a
        JOIN ledger.journal AS j ON j.debit_account_id = a.id AND j.flags < 32768
        WHERE a.code = :suspense AND (j.code = ANY (:codes::integer[])
            OR j.code = :reversal AND j.user_data_32 = ANY (:codes::integer[]))
    ) AS b GROUP BY b.owner_id, b.ledger
), owed AS (
    SELECT o.owner_id, o.ledger, o.amount_minor
    FROM unnest(:owner_id::uuid[], :ledger::bigint[], :amount_minor::bigint[]) AS o (owner_id, ledger, amount_minor)
)
SELECT coalesce(b.owner_id, o.owner_id) AS owner_id, coalesce(b.ledger, o.ledger) AS ledger,
    coalesce(b.amount_minor, 0)::bigint AS booked_minor, coalesce(o.amount_minor, 0)::bigint AS owed_minor
FROM booked AS b FULL JOIN owed AS o ON (o.owner_id, o.ledger) = (b.owner_id, b.ledger)
WHERE coalesce(b.amount_minor, 0) <> coalesce(o.amount_minor, 0)
ORDER BY 1, 2;

-- name: suspense_of_cases
-- What lies in suspense, by account and currency.
SELECT account_id, currency, sum(suspense_minor)::bigint AS amount_minor FROM reconciliation.difference
WHERE suspense_minor <> 0 GROUP BY account_id, currency ORDER BY account_id, currency;

-- name: list_differences
-- A page of what a filter selects, newest first.
SELECT {d.difference} FROM reconciliation.select_differences(:account_id::uuid, :layer::text, :klass::text, :states::text[],
    :owner_id::uuid, :unowned::boolean, :currency::text, :at_least::bigint, :at_most::bigint, :first_until::date,
    :last_day::date, :key::text) AS d
WHERE (:before::uuid IS NULL OR d.id < :before)
ORDER BY d.id DESC LIMIT :limit;

-- name: difference_ids
-- The ids of what a filter selects, newest first.
SELECT d.id FROM reconciliation.select_differences(:account_id::uuid, :layer::text, :klass::text, :states::text[],
    :owner_id::uuid, :unowned::boolean, :currency::text, :at_least::bigint, :at_most::bigint, :first_until::date,
    :last_day::date, :key::text) AS d
ORDER BY d.id DESC LIMIT :limit;

-- name: count_differences
-- The counters of the same filter; long and short are never added up.
SELECT d.layer, d.class AS klass, d.state, d.currency, count(*) AS count,
    coalesce(sum(d.amount_minor) FILTER (WHERE d.amount_minor > 0), 0)::bigint AS long_minor,
    coalesce(sum(-d.amount_minor) FILTER (WHERE d.amount_minor < 0), 0)::bigint AS short_minor,
    coalesce(sum(d.suspense_minor) FILTER (WHERE d.suspense_minor > 0), 0)::bigint AS suspense_long_minor,
    coalesce(sum(-d.suspense_minor) FILTER (WHERE d.suspense_minor < 0), 0)::bigint AS suspense_short_minor,
    min(d.first_day) AS oldest_day
FROM reconciliation.select_differences(:account_id::uuid, :layer::text, :klass::text, :states::text[],
    :owner_id::uuid, :unowned::boolean, :currency::text, :at_least::bigint, :at_most::bigint, :first_until::date,
    :last_day::date, :key::text) AS d
GROUP BY d.layer, d.class, d.state, d.currency ORDER BY d.layer, d.class, d.state, d.currency;

-- name: open_cases_by_age
-- The counters of the same filter, by the days since the first day of each.
SELECT d.layer, d.class AS klass, count(*) AS count, min(d.first_day) AS oldest_day,
    CASE WHEN :today::date - d.first_day <= 1 THEN '1d' WHEN :today::date - d.first_day <= 7 THEN '7d'
        WHEN :today::date - d.first_day <= 30 THEN '30d' ELSE 'older' END AS age
FROM reconciliation.select_differences(:account_id::uuid, :layer::text, :klass::text, :states::text[],
    :owner_id::uuid, :unowned::boolean, :currency::text, :at_least::bigint, :at_most::bigint, :first_until::date,
    :last_day::date, :key::text) AS d
GROUP BY d.layer, d.class, 5 ORDER BY d.layer, d.class, 5;

-- name: find_differences
-- Differences by id.
SELECT {d.difference} FROM reconciliation.difference AS d WHERE d.id = ANY (:difference_ids::uuid[]) ORDER BY d.id;

-- name: lock_differences
-- Differences by id, locked in one order.
SELECT {d.difference} FROM reconciliation.difference AS d
WHERE d.id = ANY (:difference_ids::uuid[]) ORDER BY d.id FOR UPDATE;

-- name: lock_proposed_differences
-- The cases that a proposal is about and that no run has changed since, locked in one order.
SELECT {d.difference} FROM reconciliation.difference AS d
WHERE d.proposal_id = :proposal_id AND d.state = 'proposed' ORDER BY d.id FOR UPDATE;

-- name: open_proposals_of_differences
-- The proposals that cases wait for.
SELECT DISTINCT proposal_id FROM reconciliation.difference WHERE state = 'proposed' AND proposal_id IS NOT NULL
ORDER BY proposal_id;

-- name: differences_under_way
-- Approved cases whose action asks a channel, after one of them.
SELECT {d.difference} FROM reconciliation.difference AS d
WHERE d.state = 'approved' AND d.action = ANY (:actions::text[]) AND d.id > :after ORDER BY d.id LIMIT :limit;

-- name: difference_history
-- What has happened to a difference, in order.
SELECT at, {difference_entry} FROM reconciliation.difference_entry WHERE difference_id = :difference_id ORDER BY id;

-- name: cases_of_numbers
-- The first open case of theirs alone that has one of these numbers: as ours, or as the channel's own.
SELECT DISTINCT ON (n.exception_id) n.exception_id, d.id AS difference_id
FROM unnest(:exception_ids::uuid[], :numbers::text[], :channel_numbers::text[])
    AS n (exception_id, number, channel_number)
JOIN reconciliation.difference AS d ON d.account_id = :account_id AND d.state NOT IN ('rolled', 'resolved')
    AND d.side = 'theirs' AND d.class = 'unexpected'
WHERE d.key IN (n.number, n.channel_number) OR EXISTS (
    SELECT FROM json_array_elements(d.theirs::json) AS r WHERE r ->> 'channel_no' IN (n.number, n.channel_number)
)
ORDER BY n.exception_id, d.id;
