-- The rows of Alipay's business detail: a tab behind each number, refunds and fees taken as negative amounts in yuan.
COPY (
WITH told AS (
    SELECT strftime(moment + INTERVAL 8 HOUR, '%Y-%m-%d %H:%M:%S') AS moment, kind = 'refund' AS is_refund,
        '20260801' || source_number AS trade,
        CASE WHEN kind = 'payment' THEN 'att_' || body ELSE 'att_' || source_body END AS order_no,
        'ref_' || body AS refund_no,
        ((sign * ordered)::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR AS ordered,
        ((sign * (ordered - borne))::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR AS settled,
        ((sign * prepaid)::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR AS prepaid,
        ((sign * borne)::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR AS borne,
        ((-fee)::DECIMAL(16, 0) * 0.01::DECIMAL(3, 2))::VARCHAR AS fee
    FROM theirs WHERE $where
)
SELECT concat(trade, chr(9), ',', order_no, chr(9), ',', CASE WHEN is_refund THEN '退款' ELSE '交易' END,
    ',商品,', moment, ',', moment, ',', chr(9), ',', chr(9), ',', chr(9), ',', chr(9), ',*某(159****5620)', chr(9), ',',
    ordered, ',', settled, ',0.00,0.00,', prepaid, ',', borne, ',0.00,,0.00', chr(9), ',0.00,',
    CASE WHEN is_refund THEN refund_no ELSE '' END, chr(9), ',', fee, ',0.00,商品', chr(13))
FROM told
) TO '$out' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '')
