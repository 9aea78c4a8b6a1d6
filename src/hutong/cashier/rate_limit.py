"""How often one payer may ask: a bucket per link, in a bounded amount of memory."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from hutong.clock import Clock
from hutong.errors import Unavailable

BURST = 24
"""How many requests may come at once: several windows, ten clicks, a reload."""
PER_SECOND = 6
"""How many may follow each second; one page asks less than once a second."""
LINKS_MAX = 20_000
"""How many links are remembered; the one idle longest is forgotten first."""

_NS = 1_000_000_000


class TooManyRequests(Unavailable):
    """More requests for one payment than its page makes."""

    code = "too_many_requests"
    http_status = 429


class Limit:
    """A token bucket per link, so that whoever guesses tokens uses up nobody's but their own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[UUID, str], tuple[int, int]] = OrderedDict()

    def spend(self, payment_id: UUID, token: str) -> None:
        """Count one request.

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
            raise TooManyRequests("this page asks too often")
