"""`hutong recon report` and `verify`: a day in figures, and their proof from kept files, without the database."""

from __future__ import annotations

import sys
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hutong.cli.common import Json, load_settings
from hutong.cli.output import print_json, print_line, print_problem
from hutong.cli.recon.options import Account
from hutong.cli.tables import print_table

checking = typer.Typer()
_Day = Annotated[datetime, typer.Argument(metavar="DAY", formats=["%Y-%m-%d"], help="The account's own day.")]
_Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="FOLDER", help="Where days are kept; by default HUTONG_RECON_FOLDER."),
]
_MATCHED = ("merchant", "layer", "kind", "currency", "count", "ordered", "paid", "settled", "fee", "net")


class CheckEngine(StrEnum):
    """The engines that a check can match with, without a cluster."""

    FINGERPRINT = "fingerprint"
    ONE_SQL = "one_sql"


@checking.command("report")
def show_report(
    day: _Day,
    account: Account = None,
    merchant: Annotated[str | None, typer.Option(help="Only this merchant.")] = None,
    folder: _Folder = None,
    as_json: Json = False,
) -> None:
    """Show what has matched on a day and what differs, of each account and merchant."""
    from hutong.reconciliation import RunFolder, reports

    root = _root(folder)
    documents = [
        reports.daily_report(RunFolder(root, each, day.date()), merchant=merchant)
        for each in _accounts(root, account, day.date())
    ]
    if as_json:
        print_json({"reports": documents})
        return
    for document in documents:
        print_line(f"{document['account_id']} {document['day']}")
        for part in document["explained"]:
            print_line(f"  {part['currency']}: {part['explained_percent']} % of {part['volume_minor']} explained")
        _print_lines(document)


@checking.command("verify")
def verify(
    day: _Day,
    account: Account = None,
    folder: _Folder = None,
    from_carry: Annotated[
        bool,
        typer.Option("--from-carry", help="Take what waited before the day as it is kept, not from all days before."),
    ] = False,
    engine: Annotated[
        CheckEngine | None, typer.Option(help="What matches again; by default what the run was matched with.")
    ] = None,
    differences: Annotated[
        Path | None,
        typer.Option(
            "--differences", metavar="FILE", help="Compare with what `recon differences --all --json` has printed."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute a day again from the original files and our exported rows, and compare all that was kept.

    Exit status 0 if everything agrees; 1 with the first file and row that differs.
    """
    from rich.console import Console
    from rich.progress import Progress

    from hutong.reconciliation import Limits, RunFolder, layouts
    from hutong.reconciliation import verify as check

    settings = load_settings()
    root, limits = _root(folder), Limits(settings.recon_memory_mb)
    if settings.recon_layouts is not None:
        layouts.add_folder(settings.recon_layouts)
    documents: list[dict[str, Any]] = []
    for each in _accounts(root, account, day.date()):
        days = [day.date()] if from_carry else [kept for kept in check.kept_days(root, each) if kept <= day.date()]
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(each, total=len(days) * len(check.CheckStage))

            def step(at: date, stage: str, progress: Progress = progress, task: Any = task, name: str = each) -> None:
                progress.update(task, advance=1, description=f"{name} {at} {stage}")

            verified = check.verify_day(
                root, each, day.date(), from_carry=from_carry, engine=engine, limits=limits, report=step
            )
        finding = verified.finding
        if finding is None and differences is not None:
            finding = check.compare_with_list([RunFolder(root, each, kept) for kept in days], differences, limits)
        documents.append(
            {
                "account_id": each,
                "day": day.date().isoformat(),
                "days": verified.days,
                "agrees": finding is None,
                "file": None if finding is None else str(finding.file),
                "line": None if finding is None else finding.line,
                "reason": None if finding is None else finding.reason,
            }
        )
        if finding is not None and not as_json:
            print_problem(str(finding))
        elif not as_json:
            print_line(f"{each}: {verified.days} days agree with their files")
    if as_json:
        print_json({"verified": documents})
    if not all(document["agrees"] for document in documents):
        sys.exit(1)


def _root(folder: Path | None) -> Path:
    settings = load_settings()
    return folder or settings.recon_folder or settings.home / "reconciliation"


def _accounts(root: Path, account: str | None, day: date) -> list[str]:
    """Return the accounts that have a run of the day.

    Errors:
        NotFound: there is none, or not this one.
    """
    from hutong.errors import NotFound
    from hutong.reconciliation import verify as check

    accounts = [account] if account else sorted(each.name for each in root.glob("*_*") if each.is_dir())
    found = [each for each in accounts if day in check.kept_days(root, each)]
    if not found:
        raise NotFound(f"no run of {account or 'any account'} on {day} is kept in {root}")
    return found


def _print_lines(document: dict[str, Any]) -> None:
    matched = [
        {"merchant": part["merchant_id"] or ""} | {name.removesuffix("_minor"): value for name, value in line.items()}
        for part in document["merchants"]
        for line in part["matched"]
    ]
    if matched:
        print_table([{name: line[name] for name in _MATCHED} for line in matched])
    differing = [
        {"merchant": part["merchant_id"] or ""} | {name.removesuffix("_minor"): value for name, value in line.items()}
        for part in document["merchants"]
        for line in part["differences"]
    ]
    if differing:
        print_table(differing)
