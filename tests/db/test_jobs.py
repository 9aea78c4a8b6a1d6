"""Repeated work goes on after failures, and stops without waiting for its pause."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from hutong.db import every, wait_for
from hutong.telemetry import configure_logging


@pytest.fixture
def logs(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    configure_logging()
    yield capsys
    configure_logging()


async def test_a_job_runs_until_it_is_stopped() -> None:
    stop, runs = asyncio.Event(), []

    async def job() -> None:
        runs.append(1)
        if len(runs) == 3:
            stop.set()

    await asyncio.wait_for(every(0.001, job, stop, name="counted"), timeout=60)
    assert len(runs) == 3


async def test_a_failure_is_logged_and_the_next_round_runs(logs: pytest.CaptureFixture[str]) -> None:
    stop, runs = asyncio.Event(), []

    async def job() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise OSError("the database is away")
        stop.set()

    await asyncio.wait_for(every(0.001, job, stop, name="fragile"), timeout=60)
    assert len(runs) == 2
    [line] = logs.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["job"]) == ("job_failed", "warning", "fragile")
    assert "the database is away" in entry["reason"]


async def test_stopping_ends_the_pause_at_once() -> None:
    stop, ran = asyncio.Event(), asyncio.Event()

    async def job() -> None:
        ran.set()

    task = asyncio.create_task(every(3600, job, stop, name="rare"))
    await ran.wait()
    stop.set()
    await asyncio.wait_for(task, timeout=60)


async def test_a_job_that_is_already_stopped_does_not_run() -> None:
    stop = asyncio.Event()
    stop.set()

    async def job() -> None:
        raise AssertionError("a stopped job ran")

    await every(0, job, stop, name="never")


async def test_the_pause_lies_between_two_rounds_and_not_between_their_starts() -> None:
    stop, starts, ends = asyncio.Event(), [], []
    loop = asyncio.get_running_loop()

    async def job() -> None:
        starts.append(loop.time())
        await asyncio.sleep(0.05)
        ends.append(loop.time())
        if len(starts) == 2:
            stop.set()

    await asyncio.wait_for(every(0.05, job, stop, name="slow"), timeout=60)
    assert starts[1] - ends[0] >= 0.045


async def test_cancelling_ends_a_job_in_the_middle() -> None:
    ran = asyncio.Event()

    async def job() -> None:
        ran.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(every(1, job, asyncio.Event(), name="cancelled"))
    await ran.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_waiting_says_whether_the_event_was_set() -> None:
    event = asyncio.Event()
    assert await wait_for(event, 0.001) is False
    asyncio.get_running_loop().call_soon(event.set)
    assert await wait_for(event, 60) is True
    assert await wait_for(event, 0) is True
