"""Sends notifications the way channels do: again and again until the platform accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import aiohttp

from hutong.sandbox.faults import NotifyFaults

Message = tuple[Mapping[str, str], bytes]

_ANSWER_WITHIN_S = 5.0
_REORDER_WAIT_S = 30.0


class Notified(Protocol):
    """What can be notified of: an order, a refund, a payout."""

    notify_url: str
    notified: int
    accepted: bool


class Notifier:
    """Delivers in the background; `close` gives up what is still waiting.

    Args:
        schedule_s: The waits between the tries.
        accepted: Whether an answer, by status and body, ends the repetition.
        speed: Divides every wait of the schedule.
    """

    def __init__(
        self, schedule_s: Sequence[float], accepted: Callable[[int, bytes], bool], *, speed: float = 1.0
    ) -> None:
        self._schedule_s = tuple(schedule_s)
        self._accepted = accepted
        self._speed = speed
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._overtaken = asyncio.Event()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def start(self, about: Notified, faults: NotifyFaults, make: Callable[[], Message]) -> None:
        """Begin to notify of something; an empty `notify_url` means that nobody wants to know.

        Args:
            make: Makes one message; called anew for every sending, since some channels sign each with its own time.
        """
        if not about.notify_url:
            return
        task = asyncio.create_task(self._deliver(about, faults, make))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, about: Notified, faults: NotifyFaults, make: Callable[[], Message]) -> None:
        if faults.delay_ms:
            await asyncio.sleep(faults.delay_ms / 1000)
        if faults.reorder:
            await self._be_overtaken()
        lose, accepted = faults.lose, False
        for wait_s in (*self._schedule_s, None):
            for _ in range(max(faults.copies, 1)):
                about.notified += 1
                if lose > 0:
                    lose -= 1
                elif await self._send(about.notify_url, *make()):
                    accepted = about.accepted = True
            if not faults.reorder:
                self._overtaken.set()
                self._overtaken = asyncio.Event()
            if accepted or wait_s is None:
                return
            await asyncio.sleep(wait_s / self._speed)

    async def _be_overtaken(self) -> None:
        """Wait until a notification that began later was sent, or until it is clear that none comes."""
        try:
            async with asyncio.timeout(_REORDER_WAIT_S):
                await self._overtaken.wait()
        except TimeoutError:
            pass

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> bool:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S), cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return self._accepted(response.status, await response.content.read(4096))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False  # so it is sent again
