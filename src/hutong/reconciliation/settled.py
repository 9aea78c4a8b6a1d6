"""Batches whose money has arrived, remembered for a while: a bank may take the money back.

A settled batch and the entries that have paid it leave the rows that wait. If an entry of the other sign names the same
batch later, all of them wait again, with the entry: the batch is owed as before, and what is left at the bank is what
it has received. Only what names its batch is taken; an entry without a name is a case of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.duck import create_table, literal, literals
from hutong.reconciliation.layers import LayerDefinition, SideSource
from hutong.reconciliation.matching.model import CARRY_COLUMNS
from hutong.reconciliation.model import Layer

_KEPT = timedelta(days=90)
"""From the day of a row on, for which a bank may still return its money."""
_SIDES = (SideSource.BATCHES, SideSource.BANK)
_COLUMNS = ", ".join(f'"{name}"' for name in CARRY_COLUMNS)
_NAME = '"day", "file", "line", "batch"'


def has_batches(layers: Sequence[LayerDefinition]) -> bool:
    """Return whether a party's layers compare batches with a bank."""
    return any(layer.layer is Layer.BATCH_BANK for layer in layers)


def call_back(duck: Any, previous: RunFolder, folder: RunFolder) -> None:
    """Let settled batches wait again whose money this day's entries take back.

    Effects:
        Adds their rows to the carried rows of the folder, and writes the others as settled.

    Repeat:
        After the carried rows have been written again, the same.
    """
    entries = [folder.rows(SideSource.BANK)] if folder.rows(SideSource.BANK).exists() else []
    for name, files in (
        ("settled_batches", _existing(previous.kept_settled(SideSource.BATCHES))),
        ("settled_bank", _existing(previous.kept_settled(SideSource.BANK))),
        ("entries", entries),
    ):
        _load(duck, name, files)
    sums = "SELECT batch, currency, sum(settled) AS net FROM {table} WHERE batch <> '' GROUP BY ALL"
    duck.execute(f"""
        CREATE OR REPLACE TABLE called AS
        SELECT o.batch, o.currency FROM ({sums.format(table="settled_batches")}) AS o
        JOIN ({sums.format(table="settled_bank")}) AS t USING (batch, currency, net)
        JOIN ({sums.format(table="entries")}) AS e USING (batch, currency)
        WHERE sign(e.net) = -sign(o.net) AND e.net <> 0
    """)
    for source in _SIDES:
        table, carried = f"settled_{source}", folder.carried(source)
        rows = [f"FROM {table} SEMI JOIN called USING (batch, currency) SELECT {_COLUMNS}"]
        if carried.exists():
            rows.insert(0, f"FROM read_parquet({literal(carried)}) SELECT {_COLUMNS}")
        (is_called,) = duck.execute("SELECT count(*) > 0 FROM called").fetchone()
        if is_called:
            _copy(duck, " UNION ALL ".join(rows), carried)
        _copy(duck, f"FROM {table} ANTI JOIN called USING (batch, currency) SELECT {_COLUMNS}", folder.settled(source))


def keep_settled(duck: Any, folder: RunFolder, results: Path) -> None:
    """Write what is settled after a day: what was before, and what its run has matched.

    Args:
        results: The folder of the results in the making, with the rows that wait.
    """
    for source in _SIDES:
        _load(duck, "pool", _existing(folder.rows(source), folder.carried(source)))
        _load(duck, "waiting", _existing(results / f"carry-{source}.parquet"))
        _load(duck, "before", _existing(folder.settled(source)))
        kept_from = literal(max(folder.day - _KEPT, date(1970, 1, 1)).isoformat())
        query = (
            f"FROM pool ANTI JOIN waiting USING ({_NAME}) SELECT {_COLUMNS} "
            f"UNION ALL FROM before SELECT {_COLUMNS} WHERE day >= DATE {kept_from}"
        )
        _copy(
            duck,
            f"SELECT * REPLACE ('' AS waits, '' AS side, '' AS \"case\") FROM ({query}) ORDER BY {_NAME}, channel_no",
            results / folder.kept_settled(source).name,
        )


def _existing(*files: Path) -> list[Path]:
    return [file for file in files if file.exists()]


def _load(duck: Any, name: str, files: Sequence[Path]) -> None:
    """Make a table of the rows of files; the columns of waiting rows are empty in files that have none."""
    duck.execute(f"DROP TABLE IF EXISTS {name}")
    duck.execute(create_table(name, CARRY_COLUMNS))
    if files:
        duck.execute(f"INSERT INTO {name} BY NAME FROM read_parquet({literals(files)}, union_by_name = true)")


def _copy(duck: Any, query: str, path: Path) -> None:
    part = path.with_suffix(".part")
    duck.execute(f"COPY ({query}) TO {literal(part)} (FORMAT parquet, COMPRESSION zstd)")
    part.replace(path)
