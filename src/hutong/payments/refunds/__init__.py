"""Refunds: asking for one, calling the channel, recording what it answers, and the ways on when it refuses."""
