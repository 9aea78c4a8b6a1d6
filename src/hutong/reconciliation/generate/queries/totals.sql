-- The control totals of a bill, by kind; amounts are positive.
SELECT kind, count(*), coalesce(sum(ordered), 0)::BIGINT, coalesce(sum(ordered - borne), 0)::BIGINT,
    coalesce(sum(prepaid), 0)::BIGINT, coalesce(sum(borne), 0)::BIGINT, coalesce(sum(fee), 0)::BIGINT,
    currency, coalesce(sum(sign * (ordered - borne) - fee), 0)::BIGINT
FROM theirs WHERE $where GROUP BY kind, currency ORDER BY kind, currency
