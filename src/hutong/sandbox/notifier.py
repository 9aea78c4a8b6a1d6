"""Sends notifications the way WeChat Pay does: again and again until the platform accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping

import aiohttp

from hutong.sandbox.book import NotifyFaults, Order

WECHAT_SCHEDULE_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
"""The waits between WeChat's tries: 15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h."""

_ANSWER_WITHIN_S = 5.0


class Notifier:
    """Delivers in the background; `close` gives up what is still waiting.

    Args:
        speed: Divides every wait of the schedule.
    """

    def __init__(self, *, speed: float) -> None:
        self._speed = speed
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def start(self, order: Order, faults: NotifyFaults, make: Callable[[], tuple[Mapping[str, str], bytes]]) -> None:
        """Begin to notify of an order.

        Args:
            make: Makes one message; called anew for every sending, since each is signed with its own time.
        """
        self._spawn(self._deliver(order, faults, make))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(
        self, order: Order, faults: NotifyFaults, make: Callable[[], tuple[Mapping[str, str], bytes]]
    ) -> None:
        if faults.delay_ms:
            await asyncio.sleep(faults.delay_ms / 1000)
        lose = faults.lose
        for wait_s in (*WECHAT_SCHEDULE_S, None):
            for _ in range(max(faults.copies, 1)):
                if lose > 0:
                    lose -= 1
                    order.notified += 1
                else:
                    await self._send(order, *make())
            if order.accepted or wait_s is None:
                return
            await asyncio.sleep(wait_s / self._speed)

    async def _send(self, order: Order, headers: Mapping[str, str], body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S), cookie_jar=aiohttp.DummyCookieJar()
            )
        order.notified += 1
        try:
            async with self._session.post(
                order.notify_url, data=body, headers=headers, allow_redirects=False
            ) as response:
                order.accepted = order.accepted or response.status in (200, 204)
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass  # not accepted, so it is sent again
