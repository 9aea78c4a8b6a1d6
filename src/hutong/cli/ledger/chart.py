"""`hutong ledger …`: the accounting events and the chart of accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import CODE_MAX, Json, KeyFile, Reason, in_transaction
from hutong.cli.ledger.options import Csv, acting_person, show
from hutong.cli.output import print_line
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db

chart_commands = typer.Typer()


@chart_commands.command("events")
def events(as_json: Json = False, as_csv: Csv = False) -> None:
    """List the accounting events: the code of their transfers, and the subjects that each leg debits and credits."""
    from hutong import ledger as books

    rows = [
        {"code": int(event.code), "name": event.name, "name_en": event.name_en, "name_zh": event.name_zh,
         "legs": " ".join(f"{leg.debit}>{leg.credit}" for leg in event.legs)}
        for event in books.EVENTS.values()
    ]  # fmt: skip
    show(rows, as_json=as_json, as_csv=as_csv)


@chart_commands.command("chart")
def chart(as_json: Json = False, as_csv: Csv = False) -> None:
    """List the chart of accounts: its subjects with their parents, classes and owners."""
    from hutong import ledger as books
    from hutong.ledger import finance

    rows = [
        {"code": subject.code, "parent": subject.parent, "name_en": subject.name_en, "name_zh": subject.name_zh,
         "class": subject.klass.value, "side": subject.normal_side.value, "one_for_each": subject.per.value,
         "added": subject.code not in books.CHART}
        for subject in in_transaction(finance.list_subjects).values()
    ]  # fmt: skip
    show(rows, as_json=as_json, as_csv=as_csv)


@chart_commands.command("add-subject")
def add_subject(
    code: Annotated[
        int, typer.Argument(metavar="CODE", min=1, max=CODE_MAX, help="Four digits; the first is that of its class.")
    ],
    parent: Annotated[
        int, typer.Option(min=1, max=CODE_MAX, help="The group that it belongs to, such as 5000 or 5100.")
    ],
    name_en: Annotated[str, typer.Option(help="The English name.")],
    name_zh: Annotated[str, typer.Option(help="The Chinese name.")],
    key: KeyFile,
    reason: Reason,
    per: Annotated[str, typer.Option(help="The kind of owner that has an account each.")] = "company",
    covered: Annotated[bool, typer.Option("--covered", help="Its accounts must not be overdrawn.")] = False,
) -> None:
    """Add a subject to the chart of accounts, permanently."""
    from hutong import bookkeeping
    from hutong import ledger as books
    from hutong.errors import InvalidParameter

    kinds = [kind.value for kind in books.AccountOwner if kind is not books.AccountOwner.SENDING_ACCOUNT]
    if per not in kinds:
        raise InvalidParameter(f"the kind of owner is one of {', '.join(kinds)}", param="--per")

    async def work(tx: db.Tx) -> None:
        await bookkeeping.add_subject(
            tx, await acting_person(tx, key, reason), code=code, parent=parent, name_en=name_en, name_zh=name_zh,
            per=books.AccountOwner(per), covered=covered, now=SystemClock().now(),
        )  # fmt: skip

    in_transaction(work)
    print_line(f"{code} {name_en} {name_zh}")
