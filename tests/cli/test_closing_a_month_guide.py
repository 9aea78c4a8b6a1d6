"""The guide to closing a month, done as it is printed: its commands in their order, and what they answer."""

from __future__ import annotations

import asyncio
import re
import shlex
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest

from hutong.clock import ManualClock
from hutong.db import Database
from support.command_line import Run
from support.fixtures.finance import Books
from support.fixtures.routing_commands import keys
from support.guides import ID, consoles, guide, steps

CONSOLE = "".join(consoles(guide("closing-a-month.md")))
COMMANDS = 28
"""So that a change of the guide's form cannot make this test run nothing."""
SMALL, LARGE = "019d0000-0000-7000-8000-000000000088", "019d0000-0000-7000-8000-000000000089"


async def business_of_march(url: str) -> None:
    """Payments with fees, costs, and two wrong bookings; the worker has closed all days but the last."""
    async with Database.open(url, size=4) as database:
        books = Books(database, ManualClock(datetime(2026, 3, 1, 4, 0, tzinfo=UTC)))
        company = UUID(int=1)
        bank, channel, merchant, fee, cost = [
            await books.account(code, company) for code in (1001, 1101, 2001, 4001, 5001)
        ]
        await books.book(bank, channel, 5)
        day = date(2026, 3, 1)
        while day < date(2026, 3, 31):
            if day.day % 10 == 2:
                await books.book(channel, merchant, 500_000, code=1)
                await books.book(merchant, fee, 3_000, code=2)
                await books.book(cost, channel, 1_000, code=10)
            if day.day == 30:
                for identifier, amount in ((SMALL, 8_800), (LARGE, 200_000)):
                    books.ids.new = lambda identifier=identifier: UUID(identifier)  # type: ignore[method-assign]
                    await books.book(channel, merchant, amount)
            assert await books.end_day() == day
            day = books.clock.now().date()


def test_a_month_is_closed_as_the_guide_says(
    command: Run, fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role, name in (("operator", "li"), ("approver", "wang")):
        Path(keys(command, tmp_path, role)[role]).rename(tmp_path / f"{name}.key")
    asyncio.run(business_of_march(fresh_database_url))
    monkeypatch.chdir(tmp_path)
    known: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for line, printed in steps(CONSOLE):
        text = line
        for one, other in known.items():
            text = text.replace(one, other)
        done = command(*shlex.split(text)[1:])
        output = outputs[line] = done.stdout + done.stderr
        refused = "2026-05" in line or bool(printed and printed[0].startswith("hutong: "))
        assert done.returncode == (2 if refused else 0), f"{line}: {output}"
        known |= dict(zip(ID.findall("\n".join(printed)), ID.findall(output), strict=False))
        if "open-account" in line:
            known["CHARGES"] = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", output)[0]
        for each in printed:
            assert ID.sub("ID", each) in ID.sub("ID", output), line
    assert len(steps(CONSOLE)) == COMMANDS
    carried = outputs["hutong ledger periods 2026-03 --csv"].splitlines()[1:]
    assert sorted((row.split(",")[1], row.split(",")[4], row.split(",")[5]) for row in carried) == [
        ("4001", "9000", "90.00"), ("5001", "-3000", "-30.00"),
    ]  # fmt: skip
    assert SMALL in outputs["hutong ledger transfers --since 2026-03-30 --until 2026-03-31 --amount 8800"]
    assert sorted(path.name for path in (tmp_path / "march-31").iterdir()) == ["accounts.parquet", "lines.parquet"]
