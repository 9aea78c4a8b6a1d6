"""`hutong dispute …`, as the guide to disputes prints it: entered and moved by two persons, listed and shown."""

from __future__ import annotations

import asyncio
import base64
import json
import shlex
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import decode, encode
from support.command_line import Run
from support.fixtures.disputes import DisputeWorld
from support.fixtures.exceptions import approve
from support.fixtures.routing_commands import keys
from support.guides import ID, consoles, guide, steps
from support.platform import KEY

CONSOLE = "".join(consoles(guide("disputes.md")))


def in_world(url: str, work: Callable[[DisputeWorld], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Database.open(url, size=4) as database:
            world = DisputeWorld(database, ManualClock(datetime.now(UTC)))
            result = await work(world)
            await world.lifecycle.stop()
            return result

    return asyncio.run(run())


def test_the_guide_does_what_it_says(
    command: Run, fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUTONG_SECRET_KEY", base64.b64encode(KEY).decode())
    assert command("dispute", "list").stdout == "there is no dispute\n"  # migrates
    Path(keys(command, tmp_path, "operator")["operator"]).rename(tmp_path / "li.key")
    monkeypatch.chdir(tmp_path)
    payment = in_world(fresh_database_url, lambda world: world.paid())
    done_steps = steps(CONSOLE)
    known = {ID.search(done_steps[0][0])[0]: encode("pay", payment.payment_id)}  # type: ignore[index]
    for line, printed in done_steps:
        done = command(*[known.get(part, part) for part in shlex.split(line)[1:]])
        assert done.returncode == 0, f"{line}: {done.stderr}"
        known |= dict(zip(ID.findall("\n".join(printed)), ID.findall(done.stdout), strict=False))
        for each in printed:
            assert " ".join(ID.sub("ID", each).split()) in " ".join(ID.sub("ID", done.stdout).split()), line
        if "waits for another person" in done.stdout:
            proposal = decode("prp", ID.findall(done.stdout)[0])
            in_world(fresh_database_url, lambda world, proposal=proposal: approve(world, proposal))
    assert len(done_steps) == 4
    (listed,) = json.loads(command("dispute", "list", "--state", "won", "--json").stdout)["disputes"]
    assert (listed["channel_dispute_no"], listed["due_at"]) == ("CB-1", "2027-03-20T00:00:00.000Z")
    unknown = command("dispute", "show", "dsp_01h455vb4pex5vsknk084sn02q")
    assert (unknown.returncode != 0, "not_found" in unknown.stderr) == (True, True)
