"""The outbox, and webhooks out of it."""
