-- Every true row of an account, with its figures on both sides' clocks and the class that is planted on it.
COPY (
WITH numbered AS (
    SELECT i, (i % $per_day)::BIGINT AS place, (i // $per_day)::INTEGER AS day_no,
        md5('$seed:' || i) AS digest, md5_number_upper('$seed:' || i) AS h,
        i % 8 = 7 AS is_back
    FROM range($rows) AS t(i)
),
planted AS (
    SELECT numbered.*, i // $stride AS slot, is_back AND $has_disputes AND i % 40 = 15 AND i % $stride <> $back_place
            AS is_dispute,
        CASE WHEN is_back THEN i - 1 - ((h >> 40) % 6)::BIGINT ELSE i END AS source
    FROM numbered
),
classed AS (
    SELECT planted.*,
        CASE
            WHEN is_dispute THEN $dispute_plants[1 + (i // 40 + $shift) % $dispute_stride]
            WHEN i % $stride = $payment_place THEN $payment_plants[1 + (slot + $shift) % len($payment_plants)]
            WHEN i % $stride = $back_place THEN $refund_plants[1 + (slot + $shift) % len($refund_plants)]
        END AS wanted,
        CASE WHEN is_back THEN md5_number_upper('$seed:' || source) ELSE h END AS source_h,
        CASE WHEN is_back THEN md5('$seed:' || source) ELSE digest END AS source_digest
    FROM planted
),
figured AS (
    SELECT classed.*,
        CASE WHEN wanted = 'cross_late' AND day_no = $days - 1 THEN '' ELSE coalesce(wanted, '') END AS plant,
        100 + (source_h % 100000)::BIGINT AS ordered,
        make_timestamp($start_us + day_no * 86400000000 + (place * 86400 // $per_day) * 1000000) AS true_at,
        make_timestamp($start_us + (day_no + 1) * 86400000000) AS ends_at
    FROM classed
),
discounted AS (
    SELECT figured.*,
        CASE WHEN $has_discounts AND (source_h >> 20) % 16 = 0 THEN ordered // 10 ELSE 0 END AS prepaid,
        CASE WHEN $has_discounts AND (source_h >> 20) % 32 < 2 THEN ordered // 20 ELSE 0 END AS borne
    FROM figured
)
SELECT i, day_no, place, slot, plant,
    CASE WHEN is_dispute THEN 'dispute' WHEN is_back THEN 'refund' ELSE 'payment' END AS kind,
    CASE WHEN is_back THEN -1 ELSE 1 END AS sign,
    '01' || substr(digest, 1, 24) AS body,
    '01' || substr(source_digest, 1, 24) AS source_body,
    lpad(i::VARCHAR, 20, '0') AS number,
    lpad(source::VARCHAR, 20, '0') AS source_number,
    ((source_h >> 24) % $merchants)::INTEGER AS merchant_no,
    ordered, prepaid, borne,
    CASE WHEN is_dispute THEN 1500
        WHEN is_back AND NOT $returns_fees THEN 0
        ELSE ((ordered - borne) * $fee_ppm + 500000) // 1000000 + $fee_fixed
    END AS fee,
    2 + (h % 5)::BIGINT AS delta,
    day_no + (plant = 'cross_early')::INTEGER AS our_day_no,
    day_no + (plant = 'cross_late')::INTEGER AS their_day_no,
    CASE plant WHEN 'cross_early' THEN ends_at + INTERVAL 1 SECOND WHEN 'cross_late' THEN ends_at - INTERVAL 2 SECOND
        ELSE true_at END AS our_at,
    CASE plant WHEN 'cross_early' THEN ends_at - INTERVAL 1 SECOND WHEN 'cross_late' THEN ends_at + INTERVAL 1 SECOND
        ELSE true_at END AS their_at
FROM discounted
) TO '$world' (FORMAT parquet, ROW_GROUP_SIZE 61440)
