"""The rate limit of the cashier: one token bucket per link, in a bounded amount of memory."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from hutong.clock import Clock
from hutong.errors import Unavailable

BURST = 24
"""Requests that may come at once: several windows, ten clicks, a reload."""
PER_SECOND = 6
"""Requests that may follow each second; one page sends less than one a second."""
LINKS_MAX = 20_000
"""Links that are kept; the one that was idle longest is dropped first."""

_NS = 1_000_000_000


class TooManyRequests(Unavailable):
    """More requests for one payment than its page makes."""

    code = "too_many_requests"
    http_status = 429


class RateLimit:
    """A token bucket per link, so that a client that guesses tokens uses up no other's bucket."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[UUID, str], tuple[int, int]] = OrderedDict()

    def count(self, payment_id: UUID, token: str) -> None:
        """Count one request against the link's bucket.

        Errors:
            TooManyRequests: the bucket is empty; nothing was done.
        """
        now = self._clock.now_ns()
        key = payment_id, token
        level, at = self._buckets.pop(key, (BURST * _NS, now))
        level = min(BURST * _NS, level + (now - at) * PER_SECOND)
        allowed = level >= _NS
        self._buckets[key] = (level - _NS if allowed else level), now
        if len(self._buckets) > LINKS_MAX:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests("too many requests for this payment's page")
