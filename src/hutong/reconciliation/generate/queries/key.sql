-- The planted differences of an account, with the identity that each has for good and its signed money.
COPY (
WITH answered AS (
    SELECT w.i, w.kind, w.plant, w.sign, w.slot, w.their_day_no, w.our_day_no,
        CASE kind WHEN 'payment' THEN 'payment_bill' WHEN 'refund' THEN 'refund_bill' ELSE 'dispute_bill' END AS layer,
        CASE plant WHEN 'missing' THEN 'ours' WHEN 'second_missing' THEN 'ours' WHEN 'double_posting' THEN 'ours' WHEN 'unexpected' THEN 'theirs'
            WHEN 'duplicate' THEN 'theirs' WHEN 'currency' THEN shown ELSE 'both' END AS side,
        CASE WHEN kind = 'dispute' THEN 'dp_' || lpad(number, 24, '0')
            WHEN plant = 'double_posting' THEN 'att_' || substr(body, 1, 24) || 'zz'
            WHEN plant = 'second_missing' THEN 'ref_' || substr(body, 1, 24) || 'zz'
            WHEN kind = 'payment' THEN 'att_' || body ELSE 'ref_' || body END AS key,
        CASE WHEN plant IN ('missing', 'unexpected', 'duplicate', 'double_posting') THEN plant
            WHEN plant = 'second_missing' THEN 'missing' ELSE 'mismatch' END
            AS class,
        CASE plant WHEN 'pending' THEN 'state' WHEN 'failed' THEN 'state' WHEN 'fee_by_one' THEN 'fee'
            WHEN 'restated' THEN 'fee' WHEN 'currency' THEN plant WHEN 'settled' THEN plant WHEN 'paid' THEN plant
            WHEN 'ordered' THEN plant WHEN 'fee' THEN plant ELSE '' END AS "column",
        CASE WHEN $expects_fees OR kind = 'dispute' THEN CASE WHEN kind = 'refund' THEN -fee ELSE fee END ELSE 0 END
            AS our_fee,
        CASE WHEN kind = 'refund' THEN -fee ELSE fee END AS their_fee,
        sign * (ordered - borne) AS settled, delta,
        plant <> 'restated' AS at_first,
        NOT ($restated AND their_day_no = 0 AND slot % 2 = 0 AND plant IN $mended)
            AND (plant <> 'restated' OR $restated AND their_day_no = 0) AS in_the_end
    FROM read_parquet('$world') AS w
    LEFT JOIN (VALUES ('currency', 'ours'), ('currency', 'theirs')) AS once (mismatched, shown)
        ON w.plant = once.mismatched
    WHERE plant NOT IN ('', 'twin', 'second', 'quiet', 'cross_late', 'cross_early', 'split')
)
SELECT '$account' AS account, layer, side, key, class, "column", plant,
    DATE '$first_day' + CASE side WHEN 'ours' THEN our_day_no ELSE their_day_no END AS day,
    CASE WHEN plant = 'currency' AND side = 'theirs' THEN '$other_currency' ELSE '$currency' END AS currency,
    CASE class
        WHEN 'missing' THEN our_fee - settled
        WHEN 'double_posting' THEN our_fee - settled
        WHEN 'unexpected' THEN settled - their_fee
        WHEN 'duplicate' THEN settled - their_fee
        ELSE CASE plant WHEN 'pending' THEN settled - their_fee WHEN 'failed' THEN settled - their_fee
            WHEN 'currency' THEN CASE side WHEN 'ours' THEN CASE WHEN $expects_fees THEN our_fee ELSE their_fee END - settled
                ELSE settled - their_fee END
            WHEN 'settled' THEN sign * delta WHEN 'fee' THEN -delta WHEN 'restated' THEN -delta
            WHEN 'fee_by_one' THEN -1 ELSE 0 END
    END AS amount,
    CASE plant WHEN 'fee_by_one' THEN 1 WHEN 'pending' THEN 0 WHEN 'failed' THEN 0 WHEN 'currency' THEN 0
        ELSE CASE WHEN class = 'mismatch' THEN delta ELSE 0 END END AS delta,
    at_first, in_the_end
FROM answered
WHERE at_first OR in_the_end
ORDER BY class, side, key, "column"
) TO '$out' (FORMAT parquet)
