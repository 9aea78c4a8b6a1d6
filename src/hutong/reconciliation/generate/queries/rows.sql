-- Our rows of a day, and those within the margin after its end, in the form and the order that an export has.
COPY (
SELECT kind,
    CASE kind WHEN 'payment' THEN 'att_' || body WHEN 'refund' THEN 'ref_' || body ELSE '' END AS key,
    $our_channel_no AS channel_no,
    CASE WHEN kind = 'payment' THEN '' ELSE 'att_' || source_body END AS original_key,
    'mer_01' || substr(md5('merchant:' || merchant_no), 1, 24) AS merchant,
    DATE '$first_day' + our_day_no AS day,
    moment AS "at", '$currency' AS currency,
    sign * ordered AS ordered, sign * paid AS paid, sign * settled AS settled,
    CASE WHEN $expects_fees OR kind = 'dispute' THEN fee END AS fee,
    state, '' AS batch, NULL::DATE AS settle_day, '' AS memo,
    CASE kind WHEN 'payment' THEN 'pay_' WHEN 'refund' THEN 'ref_' ELSE 'dsp_' END || body AS reference,
    $file AS file, row_number() OVER (ORDER BY moment, kind, key, currency, state) AS line
FROM ours
WHERE (our_day_no = $day_no OR (our_day_no = $day_no + 1 AND moment < make_timestamp($margin_us)))
    AND (state = 'succeeded') = $booked
ORDER BY line
) TO '$out' (FORMAT parquet, COMPRESSION lz4_raw, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1000)
