-- The rows of WeChat Pay's trade bill: a backtick before each value, amounts in yuan, fees with five decimals.
COPY (
WITH told AS (
    SELECT strftime(moment + INTERVAL 8 HOUR, '%Y-%m-%d %H:%M:%S') AS moment, kind = 'refund' AS is_refund,
        '4200' || lpad(source_number, 24, '0') AS trade, '5030' || lpad(number, 24, '0') AS return,
        CASE WHEN kind = 'payment' THEN 'att_' || body ELSE 'att_' || source_body END AS order_no,
        'ref_' || body AS refund_no, currency, i,
        (ordered::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR AS ordered,
        ((ordered - borne)::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR AS settled,
        (prepaid::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR AS prepaid,
        (fee::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR || '000' AS fee
    FROM theirs WHERE $where
)
SELECT concat('`', moment, ',`wx0000000000000000,`$number,`0,`,`', trade, ',`', order_no,
    ',`oAAAAAAAAAAAAAAAAAAAAAAAAAAA,`NATIVE,`', CASE WHEN is_refund THEN 'REFUND' ELSE 'SUCCESS' END,
    ',`OTHERS,`', currency, ',`',
    CASE WHEN is_refund THEN '0.00,`0.00' ELSE settled || ',`' || prepaid END, ',`',
    CASE WHEN is_refund THEN concat(return, ',`', refund_no, ',`', settled, ',`', prepaid, ',`ORIGINAL,`SUCCESS')
        ELSE '0,`0,`0.00,`0.00,`,`' END,
    ',`', CASE i % 16 WHEN 3 THEN '双人"套餐"' ELSE '商品' END, ',`,`', fee, ',`0.60%,`',
    CASE WHEN is_refund THEN '0.00,`' || ordered ELSE ordered || ',`0.00' END, ',`', chr(13))
FROM told
) TO '$out' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '')
