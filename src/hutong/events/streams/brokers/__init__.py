"""Brokers that streams are published to."""
