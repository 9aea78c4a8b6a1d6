-- depends: routing-0003.suggestions
-- What has gone through an account is counted for each currency alone: fen and cents do not add up.

ALTER TABLE routing.volume ADD COLUMN currency char(3) NOT NULL DEFAULT 'CNY' CHECK (currency ~ '^[A-Z]{3}$');
ALTER TABLE routing.volume ALTER COLUMN currency DROP DEFAULT;
ALTER TABLE routing.volume DROP CONSTRAINT volume_pkey;
ALTER TABLE routing.volume ADD PRIMARY KEY (account_id, month, currency);
