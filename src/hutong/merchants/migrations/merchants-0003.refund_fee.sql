-- depends: merchants-0002.validity

-- Whether our fee goes back in proportion with what is refunded, by the merchant's contract.
ALTER TABLE merchants.merchant ADD COLUMN returns_fee boolean NOT NULL DEFAULT TRUE;
