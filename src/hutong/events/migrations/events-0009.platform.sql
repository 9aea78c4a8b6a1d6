-- depends: events-0008.merchants

-- An event of the platform itself belongs to no merchant: it goes into its stream, and to no endpoint.
ALTER TABLE events.outbox ALTER COLUMN merchant_id DROP NOT NULL;
