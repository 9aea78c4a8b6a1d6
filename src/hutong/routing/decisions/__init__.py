"""Routing decisions as they are kept: recorded, logged, replayed, tested against a draft."""
