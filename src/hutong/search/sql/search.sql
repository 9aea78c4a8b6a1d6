-- name: limit_search
-- An unrestricted search must not keep the server busy, and each search is planned for its own parameters.
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: search_records
-- Records newest first, from after a place in that order, so that records added meanwhile neither repeat nor hide any.
SELECT {b.record}, p.name AS customer_name, p.avatar AS customer_avatar
FROM search.payment_record AS b
LEFT JOIN search.profile AS p ON p.merchant_id = b.merchant_id AND p.customer_id = b.customer_id
WHERE b.status IS NOT NULL
    AND (:merchant_id::uuid IS NULL OR b.merchant_id = :merchant_id)
    AND (:begin::timestamptz IS NULL OR b.created_at >= :begin)
    AND (:end::timestamptz IS NULL OR b.created_at < :end)
    AND (:status::text IS NULL OR b.status = :status)
    AND (:amount_min::bigint IS NULL OR b.amount_minor >= :amount_min)
    AND (:amount_max::bigint IS NULL OR b.amount_minor <= :amount_max)
    AND (:currency::text IS NULL OR b.currency = :currency::char(3))
    AND (:merchant_order_no::text IS NULL OR b.merchant_order_no = :merchant_order_no)
    AND (:customer_id::text IS NULL OR b.customer_id = :customer_id)
    AND (:grams::text [] IS NULL OR b.grams @> :grams)
    AND (
        :terms::text [] IS NULL
        OR NOT EXISTS (SELECT FROM unnest(:terms) AS t (term) WHERE strpos(b.folded, t.term) = 0)
    )
    AND (:customer_ids::text [] IS NULL OR b.customer_id = ANY (:customer_ids))
    AND (
        :customer_merchants::uuid [] IS NULL
        OR (b.merchant_id, b.customer_id) IN (
            SELECT u.merchant_id, u.id FROM unnest(:customer_merchants, :customer_ids) AS u (merchant_id, id)
        )
    )
    AND (:after_at::timestamptz IS NULL OR (b.created_at, b.payment_id) < (:after_at, :after_id::uuid))
ORDER BY b.created_at DESC, b.payment_id DESC
LIMIT :count;

-- name: find_customers
-- Customers with this id, or with this text in the name. A statement of its own: joined to a search, customers would be
-- looked up record by record.
SELECT q.merchant_id, q.customer_id
FROM search.profile AS q
WHERE ($1::uuid IS NULL OR q.merchant_id = $1) AND q.customer_id = $2
UNION
SELECT q.merchant_id, q.customer_id
FROM search.profile AS q
WHERE ($1::uuid IS NULL OR q.merchant_id = $1) AND q.grams @> $3::text [] AND strpos(q.folded, $4) > 0
LIMIT $5;

-- name: find_profile
-- The newest profile of one customer, from an order or outside of one.
SELECT p.customer_id, p.name, p.avatar, p.version_at
FROM search.profile AS p
WHERE p.merchant_id = $1 AND p.customer_id = $2;

-- name: find_record
-- One payment record, of one merchant or of any.
SELECT {b.record}, p.name AS customer_name, p.avatar AS customer_avatar
FROM search.payment_record AS b
LEFT JOIN search.profile AS p ON p.merchant_id = b.merchant_id AND p.customer_id = b.customer_id
WHERE b.payment_id = $1 AND b.status IS NOT NULL AND ($2::uuid IS NULL OR b.merchant_id = $2);
