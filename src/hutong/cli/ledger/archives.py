"""`hutong ledger …`: the partitions of the journal, and their archive."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction, load_settings
from hutong.cli.ledger.options import Csv, acting_person, show
from hutong.cli.output import print_line
from hutong.clock import SystemClock

archives_commands = typer.Typer()


@archives_commands.command("partitions")
def partitions(as_json: Json = False, as_csv: Csv = False) -> None:
    """List the partitions of the journal, oldest first, with the checksums of archived ones."""
    from hutong.ledger import partitions as journal

    rows = [asdict(partition) for partition in in_transaction(journal.list_partitions)]
    show(rows, as_json=as_json, as_csv=as_csv)


@archives_commands.command("archive")
def archive(
    name: Annotated[str, typer.Argument(metavar="PARTITION", help="As `hutong ledger partitions` shows it.")],
    key: KeyFile,
    reason: Reason,
) -> None:
    """Move a partition whose time is over into the archive, as the owner of the database, and print its checksum."""
    from hutong import app, bookkeeping, db

    async def run(url: str) -> str:
        async def work(tx: db.Tx) -> str:
            person = await acting_person(tx, key, reason)
            return await bookkeeping.archive(tx, person, name, now=SystemClock().now())

        async with db.Database.open(url, size=2, role=None) as database:
            return await database.run(work)

    with app.using_database(load_settings()) as url:
        db.migrate(url)
        print_line(asyncio.run(run(url)))
