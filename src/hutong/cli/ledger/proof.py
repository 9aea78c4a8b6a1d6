"""`hutong ledger …`: the proof of the books and their invariants."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, in_transaction, load_settings, with_database
from hutong.cli.ledger.options import show
from hutong.cli.output import print_json, print_line, print_text

if TYPE_CHECKING:
    from hutong import db

proof_commands = typer.Typer()


@proof_commands.command("verify")
def verify(
    since: Annotated[
        str | None,
        typer.Option(metavar="HEAD", help="Only what came after this head: its 64 digits, or a file of heads."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Seal all committed rows and verify the books; exit 1 and name what is wrong if they do not hold.

    The chain must contain every head that the worker has kept in the data folder.
    """
    from hutong import app
    from hutong import ledger as books
    from hutong.errors import InvalidParameter

    settings = load_settings()
    file = app.heads_file(settings)
    kept = app.read_heads(file) if file.exists() else []
    if since is not None and Path(since).is_file():
        heads = app.read_heads(Path(since))
        if not heads:
            raise InvalidParameter("the file has no head", param="--since")
        since, kept = heads[-1], [*kept, *heads]

    async def work(database: db.Database) -> books.ChainVerdict:
        return await books.seal_and_verify(database, now=datetime.now(UTC), since=since, kept=kept)

    verdict = with_database(work, settings)
    if as_json:
        print_json({**asdict(verdict), "holds": verdict.holds})
    else:
        print_text("\n".join(map(str, verdict.problems)) or "the books hold")
        print_line(f"{verdict.rows} rows under {verdict.seals} seals; head {verdict.head}")
    sys.exit(0 if verdict.holds else 1)


@proof_commands.command("check")
def check(as_json: Json = False) -> None:
    """Check the invariants of the books, and list money in transit by age; exit 1 if an invariant is broken."""
    from hutong import ledger as books
    from hutong.reconciliation import differences

    async def work(tx: db.Tx) -> dict[str, list[Any]]:
        findings = await books.check_invariants(tx, now=datetime.now(UTC))
        problems = [*findings.problems, *await differences.check_suspense(tx)]
        return {"problems": problems, "uncleared": [asdict(item) for item in findings.uncleared]}

    findings = in_transaction(work)
    if as_json:
        print_json(findings, default=str)
    else:
        print_text("\n".join(findings["problems"]) or "everything holds")
        show(findings["uncleared"])
    sys.exit(1 if findings["problems"] else 0)
