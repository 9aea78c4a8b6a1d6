-- depends: merchants-0001.merchants

-- Whether our fee goes back in proportion with what is refunded, by the merchant's contract.
ALTER TABLE merchants.merchant ADD COLUMN returns_fee boolean NOT NULL DEFAULT TRUE;
