"""Routing decisions as they are kept: recorded, replayed, tried against a draft."""
