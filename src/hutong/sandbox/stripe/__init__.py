"""The simulator of Stripe."""
