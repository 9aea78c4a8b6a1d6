-- depends: events-0007.epochs

-- The merchant's own text about an endpoint.
ALTER TABLE events.endpoint ADD COLUMN description text CHECK (length(description) BETWEEN 1 AND 200);

-- The events of one object, which merchants list.
CREATE INDEX outbox_object ON events.outbox (object_id, object_seq);
