"""The delivery of notifications, repeated like a channel's until the platform accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import aiohttp

from hutong import outgoing
from hutong.sandbox.faults import NotifyFaults

Message = tuple[Mapping[str, str], bytes]

_ANSWER_WITHIN_S = 5.0
_REORDER_WAIT_S = 30.0


class Notified(Protocol):
    """The subject of a notification: an order, a refund or a payout."""

    notify_url: str
    notified: int
    accepted: bool


class Notifier:
    """Delivers notifications in the background; `close` drops those that still wait.

    Args:
        schedule_s: The waits between the deliveries.
        accepted: Tells from status and body of an answer whether it ends the repetition.
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
        """Stop all deliveries."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def start(self, subject: Notified, faults: NotifyFaults, make: Callable[[], Message]) -> None:
        """Start to notify about a subject; an empty `notify_url` means no notifications.

        Args:
            make: Makes one message; called for every delivery, since some channels sign each with its own time.
        """
        if not subject.notify_url:
            return
        task = asyncio.create_task(self._deliver(subject, faults, make))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, subject: Notified, faults: NotifyFaults, make: Callable[[], Message]) -> None:
        if faults.delay_ms:
            await asyncio.sleep(faults.delay_ms / 1000)
        if faults.reorder:
            await self._wait_to_be_overtaken()
        lose, accepted, started = faults.lose, False, False
        for wait_s in (*self._schedule_s, None):
            for _ in range(max(faults.copies, 1)):
                subject.notified += 1
                if lose > 0:
                    lose -= 1
                elif await self._send(subject.notify_url, *make()):
                    accepted = subject.accepted = True
            if not started and not faults.reorder:
                # Only a first delivery overtakes others: a repetition started earlier.
                self._overtaken.set()
                self._overtaken = asyncio.Event()
            started = True
            if accepted or wait_s is None:
                return
            await asyncio.sleep(wait_s / self._speed)

    async def _wait_to_be_overtaken(self) -> None:
        """Wait until a later notification was sent, or until it is clear that none comes."""
        try:
            async with asyncio.timeout(_REORDER_WAIT_S):
                await self._overtaken.wait()
        except TimeoutError:
            pass

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> bool:
        if self._session is None:
            self._session = outgoing.open_session(aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S))
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return self._accepted(response.status, await response.content.read(4096))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False  # so the message is sent again
