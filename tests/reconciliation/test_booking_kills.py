"""A run that is killed while it books, or just before it, and done again is as one that was not killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from booking_kills import RUNS, later, prepare, run

from hutong.clock import ManualClock
from hutong.db import Database


async def test_runs_killed_before_within_and_after_their_transaction_are_equal_once_done_again(
    database: Database, database_url: str, clock: ManualClock, tmp_path: Path
) -> None:
    later(clock)
    whole = await prepare(database, clock, tmp_path / "whole")
    killed = await prepare(database, clock, tmp_path / "killed")
    counts = await asyncio.to_thread(run, whole, database_url, [f"{each}:end" for each in RUNS])
    channel, bank = (f"{each}:{{}}".format for each in RUNS)
    points = [
        channel("0.1"),
        channel(0),
        channel(counts[0] // 2),
        channel("end"),
        bank(counts[1] // 2),
        bank("commit"),
    ]
    done = await asyncio.to_thread(run, killed, database_url, points)
    assert [count > 0 for count in done] == [False, False, False, True, False, False]
    assert await asyncio.to_thread(run, killed, database_url, [bank("end")]) == [0], "it is booked, and not again"
    assert not list(killed.config.folder.rglob("*.part"))
    booked = await whole.booked()
    for name, rows in (await killed.booked()).items():
        assert rows == booked[name], name
    assert {row[5] for row in booked["cases"]} == {"rolled", "open"}
    assert [row[2] for row in booked["files"]] == ["closed", "matched"]
