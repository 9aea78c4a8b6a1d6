-- Stripe's balance transactions, one JSON object a line, with the charge, refund or dispute that each is about.
COPY (
WITH told AS (
    SELECT epoch(moment)::BIGINT AS moment, kind, lower(currency) AS currency, sign * ordered AS amount, fee, ordered, again,
        body, source_body, number, source_number, lpad(source_number, 24, '0') AS intent
    FROM theirs WHERE $where
)
SELECT concat('{"id":"txn_', lpad(number, 22, '0'), CASE kind WHEN 'payment' THEN '1' WHEN 'refund' THEN '2' ELSE '3' END,
    again, '","object":"balance_transaction","amount":', amount, ',"available_on":', moment + 172800, ',"created":', moment,
    ',"currency":"', currency, '","description":null,"exchange_rate":null,"fee":', fee, ',"fee_details":[',
    CASE WHEN fee <> 0 THEN concat('{"amount":', fee, ',"application":null,"currency":"', currency,
        '","description":"Stripe processing fees","type":"stripe_fee"}') ELSE '' END,
    '],"net":', amount - fee, ',"reporting_category":"',
    CASE kind WHEN 'payment' THEN 'charge' ELSE kind END, '","source":',
    CASE kind
        WHEN 'payment' THEN concat('{"id":"ch_', intent, '","object":"charge","amount":', ordered, ',"amount_captured":',
            ordered, ',"currency":"', currency, '","metadata":{"attempt_no":"att_', body, '"},"payment_intent":"pi_',
            intent, '","status":"succeeded"}')
        WHEN 'refund' THEN concat('{"id":"re_', lpad(number, 24, '0'), '","object":"refund","amount":', ordered,
            ',"charge":"ch_', intent, '","currency":"', currency, '","metadata":{"attempt_no":"att_', source_body,
            '","refund_no":"ref_', body, '"},"payment_intent":"pi_', intent, '","status":"succeeded"}')
        ELSE concat('{"id":"dp_', lpad(number, 24, '0'), '","object":"dispute","amount":', ordered, ',"charge":"ch_',
            intent, '","currency":"', currency, '","metadata":{"attempt_no":"att_', source_body,
            '"},"payment_intent":"pi_', intent, '","status":"needs_response"}')
    END, ',"status":"available","type":"', CASE kind WHEN 'payment' THEN 'charge' WHEN 'refund' THEN 'refund'
        ELSE 'adjustment' END, '"}')
FROM told
) TO '$out' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '')
