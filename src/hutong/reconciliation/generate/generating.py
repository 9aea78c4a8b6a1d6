"""Generated business with planted differences: both sides of every account and day, and the answers."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hutong.errors import InvalidParameter
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.duck import connect, literal, literals
from hutong.reconciliation.generate.bank import BankAnswer, write_statements
from hutong.reconciliation.generate.bills import Totals, write_bill
from hutong.reconciliation.generate.model import ACCOUNTS, AccountPlan, AnswerKey, GeneratedFile
from hutong.reconciliation.generate.world import World
from hutong.reconciliation.layers import SideSource

ROWS_PER_DAY_MIN = 160
"""Fewer rows of an account and day have no room for every class."""
_FIRST_DAY = date(2026, 8, 3)


@dataclass(frozen=True, slots=True)
class Options:
    """What is generated beside the numbers of rows.

    Attributes:
        days: How many days of business; a difference of the last one still waits after its run.
        late: The bill of the first day comes with that of the second.
        halves: Each bill is two files.
        restated: Each bill of the first day has a corrected forerunner: half of what was planted in it is mended, and
            fees that were right become wrong.
        numbers: By channel, the merchant's number in the bills, in place of the invented one.
        packed: Bills as the channel delivers them; otherwise unpacked, which reads faster.
    """

    days: int = 2
    channels: Sequence[str] = tuple(ACCOUNTS)
    merchants: int = 200
    late: bool = False
    halves: bool = False
    restated: bool = False
    packed: bool = True
    numbers: Mapping[str, str] = field(default_factory=dict)
    first_day: date = _FIRST_DAY
    memory_mb: int = 512


def generate(
    rows: int, seed: int, out: Path, options: Options | None = None, report: Callable[[int], None] = lambda _: None
) -> AnswerKey:
    """Write a generated business to a folder.

    Args:
        rows: Of all accounts and days together, rounded down to equal days.
        report: Is given the number of rows of which both sides are written.

    Effects:
        Writes to `out`: for each account and day `inputs/` and `rows/` as a run has them, `key.json` and `key.parquet`.

    Repeat:
        The same rows, seed and options give the same bytes.

    Errors:
        InvalidParameter: too few rows, an unknown channel, or a folder that is not empty.
    """
    options = options or Options()
    plans = _plans(options)
    per_day = rows // len(plans) // options.days
    if per_day < ROWS_PER_DAY_MIN:
        least = ROWS_PER_DAY_MIN * len(plans) * options.days
        raise InvalidParameter(f"`rows` must be at least {least} for these channels and days", param="rows")
    if out.exists() and any(out.iterdir()):
        raise InvalidParameter("`out` must be an empty folder, or none yet", param="out")
    if options.late and options.days < 2:
        raise InvalidParameter("`days` must be at least 2 for a bill that comes a day late", param="days")
    scratch = out / "scratch"
    scratch.mkdir(parents=True)
    days = tuple(options.first_day + timedelta(days=number) for number in range(options.days))
    files: list[GeneratedFile] = []
    nets: Counter[tuple[str, date]] = Counter()
    keys = []
    for plan in plans:
        with connect(scratch, memory_mb=options.memory_mb) as duck:
            world = World(duck, plan, scratch / f"{plan.channel}.parquet", per_day * len(days), days, seed)
            world.create(options.merchants)
            files += _write_sides(world, out, options, nets, report)
            keys.append(scratch / f"key-{plan.channel}.parquet")
            world.write_key(keys[-1], restated=options.restated)
    statements, answers = write_statements(out, plans, days, nets)
    with connect(scratch, memory_mb=options.memory_mb) as duck:
        keys.append(scratch / "key-bank.parquet")
        _write_bank_key(duck, answers, keys[-1])
        duck.execute(f"COPY (FROM read_parquet({literals(keys)})) TO {literal(out / 'key.parquet')} (FORMAT parquet)")
        counted = duck.execute(
            f"FROM read_parquet({literals(keys)}) SELECT class || ' ' || \"column\", count(*)::BIGINT "
            "WHERE at_first GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    shutil.rmtree(scratch)
    counts = {name.strip(): count for name, count in counted}
    key = AnswerKey(out, per_day * len(days) * len(plans), seed, days, plans, tuple(files), tuple(statements), counts)
    (out / "key.json").write_text(json.dumps(key.document(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return key


def _plans(options: Options) -> tuple[AccountPlan, ...]:
    for channel in options.channels:
        if channel not in ACCOUNTS:
            raise InvalidParameter(f"`channel` must be one of {', '.join(ACCOUNTS)}", param="channel")
    plans = [ACCOUNTS[channel] for channel in dict.fromkeys(options.channels)]
    return tuple(replace(plan, number=options.numbers.get(plan.channel, plan.number)) for plan in plans)


def _write_bank_key(duck: Any, answers: Sequence[BankAnswer], out: Path) -> None:
    duck.execute(
        "CREATE TABLE answer (account VARCHAR, layer VARCHAR, side VARCHAR, key VARCHAR, class VARCHAR, "
        '"column" VARCHAR, plant VARCHAR, day DATE, currency VARCHAR, amount BIGINT, delta BIGINT, at_first BOOLEAN, '
        "in_the_end BOOLEAN)"
    )
    for answer in answers:
        duck.execute(
            "INSERT INTO answer VALUES (?, 'batch_bank', ?, ?, ?, ?, '', ?, ?, ?, 0, true, true)",
            list(astuple(answer)),
        )
    duck.execute(f"COPY answer TO {literal(out)} (FORMAT parquet)")


def _write_sides(
    world: World,
    out: Path,
    options: Options,
    nets: Counter[tuple[str, date]],
    report: Callable[[int], None],
) -> list[GeneratedFile]:
    """Write both sides of an account; add to `nets` what the channel owes for each day."""
    plan = world.plan
    world.show(restated=False)
    files = []
    for day_no, day in enumerate(world.days):
        folder = RunFolder(out, world.plan.account, day)
        for made in (folder.inputs, folder.rows(SideSource.JOURNAL).parent):
            made.mkdir(parents=True, exist_ok=True)
        world.write_ours(day_no, folder.rows(SideSource.JOURNAL), booked=True)
        world.write_ours(day_no, folder.rows(SideSource.JOURNAL).with_name("known.parquet"), booked=False)
        comes_on = world.days[1] if options.late and day_no == 0 else day
        for suffix, part in _parts(world, options):
            where = f"their_day_no = {day_no} AND {part}"
            file, totals = _write_file(world, out, day, comes_on, where, suffix, packed=options.packed)
            files.append(file)
            nets[plan.account, day] += totals.net.get(plan.currency, 0)
        report(world.per_day)
    if options.restated:
        world.show(restated=True)
        day = world.days[0]
        comes_on = world.days[min(1, len(world.days) - 1)]
        file, totals = _write_file(world, out, day, comes_on, "their_day_no = 0", "-corrected", packed=options.packed)
        files.append(file)
        nets[plan.account, day] = totals.net.get(plan.currency, 0)
    return files


def _parts(world: World, options: Options) -> list[tuple[str, str]]:
    if not options.halves:
        return [("", "true")]
    middle = world.per_day // 2
    return [("-1", f"place < {middle}"), ("-2", f"place >= {middle}")]


def _write_file(
    world: World, out: Path, day: date, comes_on: date, where: str, suffix: str, *, packed: bool
) -> tuple[GeneratedFile, Totals]:
    folder = RunFolder(out, world.plan.account, comes_on).inputs
    folder.mkdir(parents=True, exist_ok=True)
    path, totals = write_bill(world, day, where, folder, suffix, packed=packed)
    plan = world.plan
    name = str(path.relative_to(out))
    file = GeneratedFile(name, plan.account, plan.layout, day, comes_on, totals.count, suffix == "-corrected")
    return file, totals
