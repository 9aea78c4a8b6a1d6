"""Guessing of keys and links is slowed: after some wrong ones, each wrong answer to an address has to wait.

Right requests never wait, so that nobody who shares an address with a guesser feels it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from prometheus_client import Counter

from hutong.clock import Clock

BURST = 30
"""Wrong requests of one address that are answered at once."""
PER_SECOND = 1
DELAY_S = 1.0
ADDRESSES_MAX = 10_000
"""Addresses that are kept; the one that was quiet longest is dropped first."""

_NS = 1_000_000_000
_SLOWED = Counter("hutong_guesses_slowed_total", "Answers to wrong keys and links that were delayed.")


class Guesses:
    """A token bucket per address, in a bounded amount of memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def slow(self, address: str) -> None:
        """Count a wrong request, and wait if its address has sent too many."""
        now = self._clock.now_ns()
        level, at = self._buckets.pop(address, (BURST * _NS, now))
        level = min(BURST * _NS, level + max(0, now - at) * PER_SECOND)
        self._buckets[address] = max(0, level - _NS), now
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        if level < _NS:
            _SLOWED.inc()
            await asyncio.sleep(DELAY_S)
