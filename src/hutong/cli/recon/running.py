"""`hutong recon fetch`, `import` and `run`: bills come in, and days are reconciled."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, on_platform
from hutong.cli.output import print_json, print_line
from hutong.cli.recon.options import Account, account_id
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import app
    from hutong.reconciliation import Counterparty, Reconciliation, runs

running = typer.Typer()
_FETCHED = ("account_id", "day", "fetches", "next_at", "error")
_RUN = ("account_id", "day", "explained", "opened", "reopened", "resolved", "waiting", "unchanged")
OptionalDay = Annotated[
    datetime | None,
    typer.Argument(metavar="[DAY]", formats=["%Y-%m-%d"], help="The account's own day; by default the last one."),
]


@running.command("fetch")
def fetch_bills(day: OptionalDay = None, account: Account = None, as_json: Json = False) -> None:
    """Fetch the bills of a day now. The worker fetches each at its hour; this is for other days, and for haste."""
    from hutong.reconciliation import files

    async def work(platform: app.Platform) -> list[dict[str, Any]]:
        use = platform.reconciliation
        documents = []
        for party in await _with_bills(use, account):
            wanted = party.last_ready_day(use.clock.now()) if day is None else day.date()
            documents.append((await files.fetch_day(use, party, wanted)).document())
        return documents

    documents = on_platform(work)
    if as_json:
        print_json({"fetches": documents})
    elif documents:
        print_table([{name: document[name] for name in _FETCHED} for document in documents])
    else:
        print_line("no account has bills to fetch")
    if any(document["error"] is not None for document in documents):
        sys.exit(1)


@running.command("import")
def import_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A bill or a bank statement, as it came.")],
    account: Annotated[str, typer.Option("--account", help="Whose: acc_… at a channel, bka_… at a bank.")],
    layout: Annotated[str, typer.Option("--layout", help="The layout that it is read by; see `hutong recon layouts`.")],
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=["%Y-%m-%d"], help="The account's own day; needed if the file does not tell it."),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="It states the whole day, and replaces earlier ones even if it only lacks rows."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Take a file in and read it. The same content again changes nothing, whatever its name."""
    from hutong.errors import InvalidParameter
    from hutong.reconciliation import files, find_party

    if not path.is_file():
        raise InvalidParameter(f"{path} is not a file", param="FILE")
    of_account = account_id(account)
    assert of_account is not None

    async def work(platform: app.Platform) -> dict[str, Any]:
        use = platform.reconciliation
        party = await find_party(use, of_account)
        with files.staging(use) as folder:
            staged = folder / "import"
            shutil.copyfile(path, staged)
            on = None if day is None else day.date()
            incoming = files.Incoming(party, layout, staged, path.name, on, is_whole=whole)
            file = await files.receive(use, incoming)
        return files.file_document(await files.read_file(use, file.file_id))

    document = on_platform(work)
    if as_json:
        print_json(document)
    else:
        print_line(f"{document['id']} {document['day']}: {document['state']}, {document['rows']} rows")
        if document["reason"]:
            print_line(document["reason"])
    if document["state"] == "refused":
        sys.exit(1)


@running.command("run")
def run_days(
    day: OptionalDay = None,
    account: Account = None,
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="Also the days from this one to DAY, in their order."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Even if a day stands on what it stood on before.")] = False,
    as_json: Json = False,
) -> None:
    """Reconcile a day of each account, and the days after it that were reconciled before.

    A day without a bill, and one that is not over, is passed over, and named.
    """
    from hutong.errors import Conflict, InvalidParameter

    if since is not None and day is not None and since > day:
        raise InvalidParameter("--from must not be after DAY", param="--from")

    async def work(platform: app.Platform) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        use, done, passed = platform.reconciliation, [], []
        for party in await _parties(use, account):
            with _progress(party.name, quiet=as_json) as bar:
                for each in _days(party, use, day, since):
                    try:
                        done += await _run(use, party, each, again, bar)
                    except Conflict as conflict:
                        passed.append({"account_id": party.name, "day": each.isoformat(), "reason": conflict.detail})
        return done, passed

    done, passed = on_platform(work)
    if as_json:
        print_json({"runs": done, "passed_over": passed})
    else:
        print_table([{name: document[name] for name in _RUN} for document in done])
        for each in passed:
            print_line(f"{each['account_id']} {each['day']}: {each['reason']}")
    if passed and not done:
        sys.exit(1)


async def _run(use: Reconciliation, party: Counterparty, day: date, again: bool, bar: Any) -> list[dict[str, Any]]:
    from hutong.reconciliation import runs

    async def report(of_day: date, stage: runs.Stage) -> None:
        bar(f"{of_day.isoformat()} {stage.value}")

    outcomes = await runs.run_day(use, party, day, again=again, report=report)
    return [_document(outcome, party) for outcome in outcomes]


def _document(outcome: runs.RunOutcome, party: Counterparty) -> dict[str, Any]:
    from hutong.reconciliation import runs

    ppm = outcome.run.explained_ppm
    return (
        runs.run_document(outcome.run, party.name)
        | {"explained": "" if ppm is None else f"{ppm // 10_000}.{ppm % 10_000:04} %"}
        | dict.fromkeys(("opened", "reopened", "changed", "resolved", "waiting"), 0)
        | dict(outcome.differences or {})
        | {"unchanged": outcome.is_unchanged}
    )


def _days(party: Counterparty, use: Reconciliation, day: datetime | None, since: datetime | None) -> Iterator[date]:
    from datetime import timedelta

    now = use.clock.now()
    last = party.last_ready_day(now) if day is None and party.rule is not None else (day or now).date()
    first = last if since is None else since.date()
    while first <= last:
        yield first
        first += timedelta(days=1)


async def _parties(use: Reconciliation, account: str | None) -> list[Counterparty]:
    """Return the account that is named, or all of them."""
    from hutong.reconciliation import find_party, list_parties

    of_account = account_id(account)
    return await list_parties(use) if of_account is None else [await find_party(use, of_account)]


async def _with_bills(use: Reconciliation, account: str | None) -> list[Counterparty]:
    """Return the account that is named, or all that have bills to fetch."""
    return [party for party in await _parties(use, account) if party.rule is not None or account is not None]


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Any]:
    """Yield a function that shows the step that is under way, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda text: bar.update(task, description=f"{name} {text}")
