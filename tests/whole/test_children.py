"""The children of the supervisor: a spare takes the place of what dies, and is itself replaced."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from hutong.app import children
from hutong.app.children import Child


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """A process that waits for the end of its line, and gets a spare at once."""
    monkeypatch.setattr(children, "_SPARE_AFTER_S", 0.0)
    made = Child("cat", ["/bin/cat"], {}, has_spare=True)
    made.start()
    yield made
    made.stop()
    made.wait(time.monotonic() + 60)


def pids(child: Child) -> tuple[int, int]:
    assert child._working is not None
    assert child._spare is not None
    return child._working.process.pid, child._spare.process.pid


def end(child: Child, *, spare: bool) -> None:
    started = child._spare if spare else child._working
    assert started is not None
    started.process.kill()
    started.process.wait()


def watch(child: Child) -> None:
    """Watch until a process works and another one waits; a restart waits for a moment if the last one is recent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        child.watch()
        if child._working is not None and child._spare is not None and child._spare.is_alive():
            return
        time.sleep(0.02)
    raise AssertionError("it was not replaced")


def test_the_spare_takes_the_place_of_what_dies_and_another_one_waits_then(child: Child) -> None:
    watch(child)
    first, spare = pids(child)
    end(child, spare=False)
    watch(child)
    second, next_spare = pids(child)
    assert second == spare
    assert next_spare not in (first, second)


def test_a_spare_that_has_died_is_replaced_and_never_takes_a_place(child: Child) -> None:
    watch(child)
    first, spare = pids(child)
    end(child, spare=True)
    end(child, spare=False)
    watch(child)
    second, next_spare = pids(child)
    assert len({first, spare, second, next_spare}) == 4
    end(child, spare=True)
    watch(child)
    assert pids(child)[0] == second
    assert pids(child)[1] != next_spare


def test_a_part_without_a_spare_has_one_process(child: Child) -> None:
    child.has_spare = False
    child.watch()
    assert child._spare is None


def test_a_worker_does_not_load_the_web_application() -> None:
    """It would give no sign of life meanwhile, of which a busy machine makes many seconds, and hold it in memory."""
    code = (
        "import asyncio, sys; from hutong import config; from hutong.app import processes\n"
        "async def serve():\n"
        "    async with processes._metrics(config.load()): pass\n"
        "asyncio.run(serve()); print({'fastapi', 'aiohttp'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert (done.stdout, done.stderr) == ("{'aiohttp'}\n", "")
