"""`hutong ledger …`: the accounting events and the chart of accounts."""

from __future__ import annotations

import typer

from hutong.cli.common import Json
from hutong.cli.ledger.options import Csv, show

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
