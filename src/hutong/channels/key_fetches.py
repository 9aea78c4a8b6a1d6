"""The pace at which an account fetches keys that a channel's messages name and that it does not hold.

Anybody can send a notification that names a key. So a number that was asked for without success is left alone for a
minute, other numbers wait a few seconds for one another, and failed fetches are repeated after seconds, then more
rarely, up to a minute. A list with all keys is therefore current within a minute, whatever is named.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from prometheus_client import Counter

PAUSE = timedelta(seconds=5)
"""Between two successful fetches."""
FIRST_RETRY = timedelta(seconds=2)
"""After the first failed fetch; each further one doubles it."""
LONGEST = timedelta(minutes=1)
"""The longest pause after failures, and the time for which an absent key is not asked for again."""
_ABSENT_MAX = 256
_FETCHES = Counter("hutong_channel_key_fetches_total", "Fetches of keys that channels sign with.", ["outcome"])


class KeyFetches:
    """The pace of one account's fetches, in one process.

    Args:
        holds: Whether a key is held and valid at a time.
    """

    def __init__(self, holds: Callable[[str, datetime], bool]) -> None:
        self._holds = holds
        self._lock = asyncio.Lock()
        self._absent: OrderedDict[str, datetime] = OrderedDict()
        self._fetched_at: datetime | None = None
        self._pause = PAUSE

    async def obtain(
        self, key_id: str, fetch: Callable[[], Awaitable[bool]], *, now: datetime, patient: bool = True
    ) -> bool:
        """Return whether the key is held by now, after a fetch if one is due.

        Args:
            fetch: Adopts what it gets, and returns whether the channel has answered.
            patient: Wait for a fetch that is in progress; otherwise the answer is at once that the key is not held.
        """
        if not patient and self._lock.locked():
            return False
        async with self._lock:
            if not self._holds(key_id, now) and self._is_due(key_id, now):
                self._fetched_at = now
                self._note(key_id, now, has_answered=await fetch())
            return self._holds(key_id, now)

    def _is_due(self, key_id: str, now: datetime) -> bool:
        absent_at = self._absent.get(key_id)
        if absent_at is not None and abs(now - absent_at) < LONGEST:
            return False
        return self._fetched_at is None or abs(now - self._fetched_at) >= self._pause

    def _note(self, key_id: str, now: datetime, *, has_answered: bool) -> None:
        _FETCHES.labels("answered" if has_answered else "failed").inc()
        if not has_answered:
            self._pause = FIRST_RETRY if self._pause is PAUSE else min(2 * self._pause, LONGEST)
            return
        self._pause = PAUSE
        if not self._holds(key_id, now):
            self._absent[key_id] = now
            self._absent.move_to_end(key_id)
            if len(self._absent) > _ABSENT_MAX:
                self._absent.popitem(last=False)
