"""`hutong bench recon-cases`: thousands of cases opened, decided by one filter and by one file, and approved."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from rich.console import Console

from hutong import app, db, ids, operators
from hutong.bench.cpu import CpuMeter
from hutong.bench.installation import database_processes, temporary_settings
from hutong.clock import Clock
from hutong.errors import InvariantBroken
from hutong.reconciliation import DifferenceAction, DifferenceState, Layer, differences

_Select = Callable[[db.Tx], Awaitable[list[differences.CaseDecision]]]
_PLANTED = "claim is not possible for a long amount"


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One step: seconds by the clock, and processor seconds of this process and of PostgreSQL."""

    wall_s: float
    python_s: float
    postgresql_s: float


@dataclass(slots=True)
class CaseFigures:
    """The figures of one run.

    Attributes:
        by_filter_s: Preview, decision and approval of all cases of one filter.
        by_file_s: Export, decision and import with checks of as many cases, and the approval of those taken.
        refused: The lines of the file that were refused; every second one was planted to be.
        holds: Whether exactly the planted lines were refused, all others ended, and suspense is what is left.
    """

    cases: int
    by_filter_s: float = 0.0
    by_file_s: float = 0.0
    refused: int = 0
    steps: dict[str, StepFigures] = field(default_factory=dict)
    holds: bool = False


def run_bench_recon_cases(*, cases: int, as_json: bool) -> int:
    """Run the benchmark on an installation of its own.

    Returns:
        The exit status: 1 if the outcome is not the planted one.
    """
    console = Console(stderr=as_json)
    with (
        temporary_settings() as settings,
        tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder,
        app.using_database(settings) as url,
    ):
        app.migrate(settings, url)
        figures = asyncio.run(_measure(settings, cases, Path(folder)))
    if as_json:
        print(json.dumps(asdict(figures)))
        return 0 if figures.holds else 1
    for name, step in figures.steps.items():
        console.print(
            f"{name:<16} {step.wall_s:6.2f} s, Python {step.python_s:6.2f} s, PostgreSQL {step.postgresql_s:6.2f} s"
        )
    console.print(f"{cases:,} by filter {figures.by_filter_s:.2f} s, by file {figures.by_file_s:.2f} s")
    console.print(f"{figures.refused:,} lines refused; holds: {figures.holds}")
    return 0 if figures.holds else 1


async def _measure(settings: app.Settings, cases: int, folder: Path) -> CaseFigures:
    async with app.open_platform(settings) as platform:
        desk = CaseDesk(
            platform.database, platform.approval_handlers, platform.clock, platform.ids, database_processes(settings)
        )
        with db.time_limit(db.LONG_LIMIT_S):
            return await desk.measure(cases, folder)


class CaseDesk:
    """Two persons, and what they do about many cases.

    Args:
        server: The processes of the database.
    """

    def __init__(
        self,
        database: db.Database,
        handlers: Mapping[str, operators.ApprovalHandler],
        clock: Clock,
        identifiers: ids.Ids,
        server: Sequence[int],
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._clock = clock
        self._ids = identifiers
        self._groups = {"python": [os.getpid()], "postgresql": list(server)}
        self._steps: dict[str, StepFigures] = {}

    async def measure(self, cases: int, folder: Path) -> CaseFigures:
        """Open cases of two accounts, end all of one by a filter, and every second one of the other by a file."""
        accounts = {way: self._ids.new() for way in ("filter", "file")}
        maker, checker = [await self._person() for _ in range(2)]
        for way, account_id in accounts.items():
            with self._step(f"open: {way}"):
                await self._record(account_id, cases)
        await self._by_filter(accounts["filter"], maker, checker)
        refused = await self._by_file(accounts["file"], folder / "cases.csv", maker, checker)
        async with self._database.transaction() as tx:
            apart = await differences.check_suspense(tx)
            left = [
                each.count
                for account_id in accounts.values()
                for each in await differences.count_differences(tx, differences.DifferenceFilter(account_id=account_id))
            ]
        by_filter_s, by_file_s = (
            sum(step.wall_s for name, step in self._steps.items() if name.startswith(way)) for way in accounts
        )
        holds = not apart and refused == sum(left) == cases // 2
        return CaseFigures(cases, by_filter_s, by_file_s, refused, self._steps, holds)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Measure a step."""
        meter, start = CpuMeter(self._groups, families=["postgresql"]), time.monotonic()
        yield
        took, used = time.monotonic() - start, meter.seconds()
        self._steps[name] = StepFigures(took, used["python"], used["postgresql"])

    async def _person(self) -> operators.Operator:
        """Add an operator who may propose and approve."""
        identifier, name, now = self._ids.new(), secrets.token_hex(8), self._now()

        async def work(tx: db.Tx) -> operators.Operator:
            key = await operators.add_operator(
                tx, operator_id=identifier, name=name, role=operators.Role.APPROVER, random=secrets.token_hex(32),
                reason="measured", now=now,
            )  # fmt: skip
            return await operators.authenticate(tx, key)

        return await self._database.run(work)

    async def _record(self, account_id: UUID, cases: int) -> None:
        """Open cases as a run does."""
        day = datetime.now(UTC).date() - timedelta(days=1)

        async def work(tx: db.Tx) -> None:
            await differences.record(
                tx, account_id=account_id, day=day, layer=Layer.PAYMENT_BILL, rows=_rows(cases, day),
                matched_late=(), now=self._now(), new_id=self._ids.new,
            )  # fmt: skip

        await self._database.run(work)

    async def _by_filter(self, account_id: UUID, maker: operators.Operator, checker: operators.Operator) -> None:
        """Preview an action for all cases of an account, decide by the preview's digest, and approve."""
        where, action = differences.DifferenceFilter(account_id=account_id), DifferenceAction.WRITE_OFF

        async def look(tx: db.Tx) -> differences.Checked:
            return await differences.preview(tx, where, action, reason="rounding", operator=maker, now=self._now())

        async def select(tx: db.Tx) -> list[differences.CaseDecision]:
            return await differences.select_decisions(tx, where, action, reason="rounding")

        with self._step("filter: preview"):
            digest = str(differences.preview_document(await self._database.run(look))["digest"])
        with self._step("filter: decide"):
            decided = await self._decide(select, maker, digest)
        with self._step("filter: approve"):
            await self._approve(decided, checker)

    async def _by_file(
        self, account_id: UUID, path: Path, maker: operators.Operator, checker: operators.Operator
    ) -> int:
        """Export all cases of an account, decide each in the file, import it, and approve; return the refused lines."""
        where = differences.DifferenceFilter(account_id=account_id, states=(DifferenceState.OPEN,))
        with self._step("file: export"):
            async with self._database.transaction() as tx:
                found = await differences.list_differences(tx, where, limit=differences.BULK_MAX)
            _write(path, differences.write_sheet(found, today=self._now().date()))
        planted = _fill(path)
        with self._step("file: import"):
            sheet = differences.read_sheet(path)

            async def given(_tx: db.Tx) -> list[differences.CaseDecision]:
                return sheet.decisions

            decided = await self._decide(given, maker, None)
            faults = differences.write_faults(sheet, decided.refused)
        with self._step("file: approve"):
            await self._approve(decided, checker)
        if [fault["line"] for fault in faults if fault["reason"] == _PLANTED] != planted:
            raise InvariantBroken("other lines of the file were refused than those planted to be")
        return len(faults)

    async def _decide(
        self, select: _Select, maker: operators.Operator, digest: str | None
    ) -> differences.CaseDecisions:
        async def work(tx: db.Tx) -> differences.CaseDecisions:
            return await differences.decide(
                tx, await select(tx), operator=maker, reason="rounding", now=self._now(),
                new_id=self._ids.new, digest=digest,
            )  # fmt: skip

        return await self._database.run(work)

    async def _approve(self, decided: differences.CaseDecisions, checker: operators.Operator) -> None:
        assert decided.proposal is not None
        decision = operators.ApprovalDecision(decided.proposal.proposal_id, checker.operator_id, True, "checked")
        await self._database.run(lambda tx: operators.conclude(tx, decision, self._handlers, now=self._now()))

    def _now(self) -> datetime:
        return self._clock.now()


def _rows(cases: int, day: date) -> Iterator[dict[str, Any]]:
    """Yield rows of theirs alone, of a few fen each."""
    for number in range(cases):
        amount, key = 1 + number % 9, f"{number:020}"
        row = {
            "kind": "payment", "key": key, "channel_no": f"ch-{key}", "original_key": "", "day": day.isoformat(),
            "at": f"{day}T04:00:00", "currency": "CNY", "ordered": amount, "paid": amount, "settled": amount, "fee": 0,
            "state": "succeeded", "batch": "", "file": 0, "line": number + 1,
        }  # fmt: skip
        text = orjson.dumps([row]).decode()
        yield {
            "side": "theirs", "key": key, "class": "unexpected", "column": "", "currency": "CNY", "amount": amount,
            "ours": None, "theirs": text, "reference": "", "day": day,
            "content": hashlib.sha256(text.encode()).hexdigest(),
        }  # fmt: skip


def _write(path: Path, sheet: str) -> None:
    path.write_text(sheet, newline="")


def _fill(path: Path) -> list[int]:
    """Decide each line of an export: every second one in a way that is not possible; return the lines of these."""
    lines = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
    for place, line in enumerate(lines):
        line |= {"decision": "claim" if place % 2 else "write_off", "reason": f"row {place}"}
    output = io.StringIO()
    writer = csv.DictWriter(output, fieldnames=list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    path.write_text(output.getvalue(), "utf-8-sig", newline="")
    return [place + 2 for place in range(len(lines)) if place % 2]
