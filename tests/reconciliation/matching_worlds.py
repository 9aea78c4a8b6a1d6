"""Rows of both sides in files, and worlds of them in which everything goes wrong often."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from matching_oracle import Answer, Row

from hutong.reconciliation import matching
from hutong.reconciliation.layers import LayerDefinition
from hutong.reconciliation.matching.model import CARRY_COLUMNS, DIFFERENCE_COLUMNS, MATCHED_COLUMNS, MatchResult
from hutong.reconciliation.model import DayWindow
from hutong.reconciliation.rows import ROW_COLUMNS

FIRST = date(2026, 9, 1)
NOON = datetime(2026, 9, 1, 4, tzinfo=UTC).replace(tzinfo=None)
WINDOW = DayWindow(timedelta(hours=8), rolls=1)


def make_row(**columns: Any) -> Row:
    row: Row = dict.fromkeys(CARRY_COLUMNS, "")
    row |= {"kind": "payment", "day": FIRST, "at": NOON, "currency": "CNY", "state": "succeeded"}
    row |= {"ordered": 100, "paid": 100, "settled": 100, "fee": 1, "settle_day": None, "file": 0, "line": 1}
    return row | columns


def write(path: Path, rows: Iterable[Row], columns: Iterable[str] = ROW_COLUMNS) -> Path:
    names = list(columns)
    with duckdb.connect() as connection:
        types = ", ".join(f'"{name}" {CARRY_COLUMNS[name]}' for name in names)
        connection.execute(f"CREATE TABLE r ({types})")
        values = [[row[name] for name in names] for row in rows]
        if values:
            connection.executemany(f"INSERT INTO r VALUES ({', '.join('?' * len(names))})", values)
        connection.execute(f"COPY r TO '{path}' (FORMAT parquet)")
    return path


def read(path: Path, columns: Iterable[str]) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        names = ", ".join(f'"{column}"' for column in columns)
        return connection.execute(f"SELECT {names} FROM read_parquet('{path}')").fetchall()


def rows_of(path: Path) -> list[Row]:
    return [dict(zip(CARRY_COLUMNS, row, strict=True)) for row in read(path, CARRY_COLUMNS)]


def match(
    folder: Path, engine: matching.MatchEngine, layer: LayerDefinition, ours: Sequence[Row], theirs: Sequence[Row],
    *, day: date = FIRST, window: DayWindow = WINDOW, carried: tuple[list[Row], list[Row]] = ([], []),
) -> MatchResult:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        [write(folder / f"carry-{side}", waiting, CARRY_COLUMNS), write(folder / side, rows)]
        for side, rows, waiting in (("ours", ours, carried[0]), ("theirs", theirs, carried[1]))
    ]
    return engine.match(matching.MatchJob(layer, window, day, files[0], files[1], folder / "results", 256, 1))


def answer_of(result: MatchResult) -> Answer:
    return Answer(
        read(result.matched, MATCHED_COLUMNS),
        read(result.differences, DIFFERENCE_COLUMNS),
        rows_of(result.carry_ours),
        rows_of(result.carry_theirs),
    )


class World:
    """Rows of both sides over some days: the same payments, with everything that goes wrong planted often."""

    def __init__(self, seed: int, kinds: Sequence[str]) -> None:
        self.random, self.kinds = random.Random(seed), kinds
        self.lines = 0

    def day(self, day: date) -> tuple[list[Row], list[Row]]:
        ours: list[Row] = []
        theirs: list[Row] = []
        for number in range(self.random.randrange(4, 9)):
            truth = self.truth(day, number)
            for rows in (ours, theirs):
                rows += [self.seen(truth) for _ in range(self.random.choice((0, 1, 1, 1, 1, 1, 2)))]
        return ours, theirs

    def truth(self, day: date, number: int) -> Row:
        pick = self.random.choice
        key = pick((f"K{day.day}{number}",) * 8 + ("K1", "K2", "K3", ""))
        amount, kind = pick((100, 100, 105, 200)), pick(self.kinds)
        amount = -amount if kind == "refund" else amount
        return make_row(
            kind=kind, key=key, channel_no=pick((f"C{key}", f"C{key}", "C1", "")), original_key=pick(("", "P1")),
            day=day, at=pick((NOON + (day - FIRST), None)), ordered=amount, paid=amount, settled=amount,
            fee=pick((1, 1, 2, None)), batch=pick(("B1", "B2", "B3", "")) if kind in ("batch", "entry") else "",
        )  # fmt: skip

    def seen(self, truth: Row) -> Row:
        pick = self.random.choice
        self.lines += 1
        row = truth | {"line": self.lines, "reference": f"pay_{self.lines}", "merchant": pick(("m1", "m2"))}
        if self.random.random() < 0.35:
            column, value = pick((
                ("state", "failed"), ("state", "pending"), ("currency", "USD"),
                ("settled", truth["settled"] + pick((1, 5))),
                ("paid", truth["paid"] + 1), ("fee", pick((2, 3, None))), ("key", ""), ("channel_no", "C1"),
                ("day", truth["day"] + timedelta(days=1)), ("ordered", 99), ("key", "K1"),
            ))  # fmt: skip
            row[column] = value
        return row
