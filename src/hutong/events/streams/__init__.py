"""Streams: numbering events and publishing them to a broker."""
