-- Ours and theirs as the world and its planted differences make them; amounts are positive, `sign` tells the direction.
CREATE OR REPLACE TEMP VIEW world AS
SELECT w.*, $restated AND slot % 2 = 0 AND plant IN $mended AS is_mended,
    CASE plant WHEN 'settled' THEN delta WHEN 'ordered' THEN delta ELSE 0 END AS more_ordered,
    CASE plant WHEN 'paid' THEN delta ELSE 0 END AS more_prepaid,
    CASE plant WHEN 'ordered' THEN delta ELSE 0 END AS more_borne,
    CASE WHEN plant = 'fee' THEN delta WHEN plant = 'fee_by_one' THEN 1 WHEN plant = 'restated' AND $restated THEN delta
        ELSE 0 END AS more_fee
FROM read_parquet('$world') AS w;
CREATE OR REPLACE TEMP VIEW theirs AS
WITH told AS (
    SELECT i, their_day_no, place, kind, sign, plant, 0 AS again, is_mended, body, source_body, number, source_number,
        their_at AS moment,
        ordered + CASE WHEN is_mended THEN 0 ELSE more_ordered END AS ordered,
        prepaid + CASE WHEN is_mended THEN 0 ELSE more_prepaid END AS prepaid,
        borne + CASE WHEN is_mended THEN 0 ELSE more_borne END AS borne,
        CASE WHEN kind = 'refund' THEN -fee ELSE fee END + CASE WHEN is_mended THEN 0 ELSE more_fee END AS fee,
        CASE WHEN plant = 'currency' AND NOT is_mended THEN '$other_currency' ELSE '$currency' END AS currency
    FROM world
    WHERE plant <> 'quiet' AND (plant <> 'missing' OR is_mended) AND (plant <> 'unexpected' OR NOT is_mended)
),
every AS (
    FROM told
    UNION ALL
    SELECT * REPLACE (1 AS again, CASE WHEN plant = 'second' THEN substr(body, 1, 24) || 'zz' ELSE body END AS body,
        CASE WHEN plant = 'second' THEN '9' || substr(number, 2) ELSE number END AS number)
    FROM told WHERE plant IN ('duplicate', 'twin', 'second') AND NOT is_mended
    UNION ALL
    SELECT * REPLACE (1 AS again, ordered // 3 AS ordered, 0 AS fee)
    FROM told WHERE plant = 'split'
)
SELECT every.* REPLACE (CASE WHEN plant = 'split' AND again = 0 THEN ordered - ordered // 3 ELSE ordered END AS ordered),
    CASE kind WHEN 'payment' THEN 'att' WHEN 'refund' THEN 'ref' ELSE 'dsp' END AS prefix
FROM every;
CREATE OR REPLACE TEMP VIEW ours AS
WITH booked AS (
    SELECT i, our_day_no, kind, sign, plant, 0 AS again, body, source_body, number, source_number, merchant_no,
        our_at AS moment, ordered, ordered - prepaid - borne AS paid, ordered - borne AS settled,
        CASE WHEN kind = 'refund' THEN -fee ELSE fee END AS fee,
        CASE plant WHEN 'pending' THEN 'pending' WHEN 'failed' THEN 'failed' WHEN 'quiet' THEN 'failed'
            ELSE 'succeeded' END AS state
    FROM world
    WHERE plant <> 'unexpected'
)
FROM booked
UNION ALL
SELECT * REPLACE (1 AS again, CASE WHEN plant = 'twin' THEN body ELSE substr(body, 1, 24) || 'zz' END AS body,
    CASE WHEN plant IN ('second', 'second_missing') THEN '9' || substr(number, 2) ELSE number END AS number)
FROM booked WHERE plant IN ('twin', 'second', 'second_missing', 'double_posting');
