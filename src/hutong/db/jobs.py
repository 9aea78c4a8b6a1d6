"""Repeated work, and waiting that ends early."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hutong.telemetry import RareLine, get_logger

_log = get_logger(__name__)


async def every(seconds: float, job: Callable[[], Awaitable[object]], stop: asyncio.Event, *, name: str) -> None:
    """Run a job repeatedly until `stop` is set. A failure is logged, once a minute, and does not end the repetition.

    Args:
        seconds: The pause between the end of one run and the start of the next.
    """
    failed = RareLine(_log, "warning", "job_failed")
    while not stop.is_set():
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - the database may be back in the next round
            failed.write(job=name, reason=repr(error))
        await wait_for(stop, seconds)


async def wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Wait at most this long until an event is set, and return whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
