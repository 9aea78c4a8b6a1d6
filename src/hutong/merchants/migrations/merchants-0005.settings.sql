-- depends: merchants-0004.parts

-- How a merchant's payments look and go at the cashier, and since when the merchant takes none.
ALTER TABLE merchants.merchant
ADD COLUMN disabled_at timestamptz,
ADD COLUMN color text CHECK (color ~ '^#[0-9a-f]{6}$'),
ADD COLUMN methods text [] NOT NULL DEFAULT '{}',
ADD COLUMN switching text CHECK (switching IN ('strict', 'permissive')),
ADD COLUMN logo_media_type text CHECK (logo_media_type IN ('image/png', 'image/jpeg', 'image/webp')),
ADD COLUMN logo_content bytea CHECK (length(logo_content) <= 131072),
ADD COLUMN logo text GENERATED ALWAYS AS (encode(sha256(logo_content), 'hex')) STORED,
ADD CHECK ((logo_content IS NULL) = (logo_media_type IS NULL));

UPDATE merchants.merchant SET disabled_at = now() WHERE NOT enabled;
ALTER TABLE merchants.merchant DROP COLUMN enabled;

CREATE INDEX merchant_logo_idx ON merchants.merchant (logo) WHERE logo IS NOT NULL;

GRANT UPDATE (
    name, fee_ppm, return_origins, payment_validity, returns_fee, disabled_at, color, methods, switching,
    logo_media_type, logo_content
) ON merchants.merchant TO hutong_console;
