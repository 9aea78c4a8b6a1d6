"""`hutong recon files`: the bills and bank statements that came in."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, in_transaction
from hutong.cli.output import print_json, print_line
from hutong.cli.recon.options import Account, Day, account_id, as_day
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import db

filing = typer.Typer()
_SHOWN = ("id", "day", "layout", "name", "state", "rows", "exceptions", "reason")


class State(StrEnum):
    """The states that files are selected by."""

    RECEIVED = "received"
    PARSED = "parsed"
    MATCHED = "matched"
    CLOSED = "closed"
    REFUSED = "refused"
    REPLACED = "replaced"


@filing.command("files")
def show_files(
    account: Account = None,
    day: Day = None,
    state: Annotated[State | None, typer.Option(help="Only files in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most rows to show.")] = 100,
    as_json: Json = False,
) -> None:
    """List the files that came in, the last first."""
    from hutong.reconciliation import FileState, files

    wanted = None if state is None else FileState(state)
    of_account = account_id(account)

    async def work(tx: db.Tx) -> list[dict[str, Any]]:
        found = await files.list_files(tx, account_id=of_account, day=as_day(day), state=wanted, limit=limit)
        return [files.file_document(file) for file in found]

    documents = in_transaction(work)
    if as_json:
        print_json({"files": documents})
    elif documents:
        print_table([{name: document[name] for name in _SHOWN} for document in documents])
    else:
        print_line("there is no file")
