-- The rows of UnionPay's ZM file: columns of fixed width with one blank between them, amounts in fen.
COPY (
WITH told AS (
    SELECT strftime(moment + INTERVAL 8 HOUR, '%m%d%H%M%S') AS moment, kind = 'payment' AS is_payment, body, prefix,
        '8' || number AS query, '8' || source_number AS original,
        lpad((ordered - prepaid - borne)::VARCHAR, 12, '0') AS paid,
        CASE WHEN fee > 0 THEN 'D' ELSE 'C' END || lpad(abs(fee)::VARCHAR, 12, '0') AS fee,
        CASE WHEN sign * (ordered - borne) - fee < 0 THEN 'D' ELSE 'C' END
            || lpad(abs(sign * (ordered - borne) - fee)::VARCHAR, 12, '0') AS net,
        CASE WHEN sign < 0 AND prepaid + borne > 0 THEN 'D' ELSE 'C' END
            || lpad((prepaid + borne)::VARCHAR, 12, '0') AS discount
    FROM theirs WHERE $where
)
SELECT concat(CASE WHEN is_payment THEN 'S22' ELSE 'S30' END, ' 48020000    48020000    ', right(query, 6), ' ', moment,
    ' 622848*********0010 ', paid, ' 5411 07 ', query, '    ', rpad(prefix || body, 32, ' '), ' 01 ',
    CASE WHEN is_payment THEN repeat(' ', 17) ELSE concat(right(original, 6), ' ', moment) END, ' ', fee, ' ', net,
    ' 0001 ', repeat(' ', 15), CASE WHEN is_payment THEN ' 01 01 000201 01 ' ELSE ' 04 00 000201 01 ' END,
    repeat(' ', 37), ' 0 ', CASE WHEN is_payment THEN repeat(' ', 21) ELSE original END,
    ' $number ', repeat(' ', 17), ' 互通沙箱', repeat(' ', 24), ' C000000000000 ', net, ' 01080209 ', repeat(' ', 32), ' ',
    discount, ' C000000000000 000000000000 00 0 ', repeat(' ', 131))
FROM told
) TO '$out' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '')
