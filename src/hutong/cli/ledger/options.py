"""Options of the commands of `hutong ledger`, and the printing of their rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from hutong import export
from hutong.cli.common import INSTANTS, INTEGER_MAX, read_key
from hutong.cli.output import print_json, print_result, print_text
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import bookkeeping, db, operators

R = TypeVar("R")

Parquet = Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Also write a Parquet file.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
AccountId = Annotated[
    UUID, typer.Argument(metavar="ACCOUNT", help="The account's id, as `hutong ledger accounts` shows it.")
]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A closed day; by default, the present.")]
ClosedDay = Annotated[datetime, typer.Argument(metavar="DAY", formats=["%Y-%m-%d"], help="A closed day.")]
Instant = Annotated[datetime | None, typer.Option(formats=INSTANTS, help="In UTC unless it names a zone.")]
Most = Annotated[int, typer.Option("--limit", min=0, max=INTEGER_MAX, help="The most rows to show; 0 shows all.")]

_PAGE = 1_000


async def acting_person(tx: db.Tx, key: Path, reason: str) -> bookkeeping.Person:
    """Return the operator of the key in a file, with the reason of what they do."""
    from hutong import bookkeeping, operators

    return bookkeeping.Person(await operators.authenticate(tx, read_key(key)), reason)


async def collect(fetch: Callable[[R | None, int], Awaitable[Sequence[R]]], limit: int) -> list[R]:
    """Return the rows of a list page by page.

    Args:
        fetch: Returns the page after a row, with at most this many.
        limit: The most rows; 0 for all.
    """
    rows: list[R] = []
    while True:
        wanted = min(_PAGE, limit - len(rows)) if limit else _PAGE
        page = await fetch(rows[-1] if rows else None, wanted)
        rows += page
        if len(page) < wanted or len(rows) == limit:
            return rows


def show(rows: Iterable[dict[str, Any]], *, as_json: bool = False, as_csv: bool = False) -> None:
    """Print rows as a table, one JSON list, or CSV."""
    listed = [{name: _plain(value) for name, value in row.items()} for row in rows]
    if as_json:
        print_json(listed, default=str)
    elif as_csv:
        print_text(export.to_csv(listed))
    else:
        print_table(listed)


def show_proposal(proposal: operators.Proposal, *, as_json: bool) -> None:
    """Print a proposal that waits for a second person."""
    from hutong import ids, operators

    shown = {"proposal_id": ids.encode(operators.PROPOSAL_PREFIX, proposal.proposal_id), "state": proposal.state}
    approve = f"hutong ledger approve {shown['proposal_id']}"
    print_result(shown, f"{shown['proposal_id']} waits for another person: {approve}", as_json=as_json)


def _plain(value: Any) -> Any:
    """Return several values as one text, and everything else unchanged."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else value
