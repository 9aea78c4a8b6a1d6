"""`hutong bench recon-cases` opens cases, ends them by a filter and by a file, and holds what it has planted."""

from __future__ import annotations

from pathlib import Path

from hutong.app.approval_handlers import approval_handlers
from hutong.bench.reconciliation_cases import CaseDesk
from hutong.clock import ManualClock
from hutong.db import Database
from support.fixtures.payments import World


async def test_the_planted_lines_of_the_file_are_refused_and_all_else_is_ended(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    world = World(database, clock)
    desk = CaseDesk(database, approval_handlers(world.transactions), clock, world.ids, server=())
    figures = await desk.measure(20, tmp_path)
    assert (figures.cases, figures.refused, figures.holds) == (20, 10, True)
    assert {name.partition(":")[0] for name in figures.steps} == {"open", "filter", "file"}
