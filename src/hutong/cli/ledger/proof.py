"""`hutong ledger …`: the proof of the books and their invariants."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from hutong.cli.common import Json, in_transaction
from hutong.cli.ledger.options import show

if TYPE_CHECKING:
    from hutong import db

proof_commands = typer.Typer()


@proof_commands.command("verify")
def verify(as_json: Json = False) -> None:
    """Seal all committed rows and verify the books; exit 1 and name the first wrong row if they do not hold."""
    from hutong import ledger as books

    async def work(tx: db.Tx) -> books.ChainVerdict:
        while await books.seal(tx, now=datetime.now(UTC)):
            pass
        return await books.verify(tx)

    verdict = in_transaction(work)
    if as_json:
        print(json.dumps({**asdict(verdict), "holds": verdict.holds}))
    else:
        print("\n".join(verdict.problems) or "the books hold")
        print(f"{verdict.rows} rows under {verdict.seals} seals; head {verdict.head}")
    sys.exit(0 if verdict.holds else 1)


@proof_commands.command("check")
def check(as_json: Json = False) -> None:
    """Check the invariants of the books, and list money in transit by age; exit 1 if an invariant is broken."""
    from hutong import ledger as books

    findings = in_transaction(lambda tx: books.check_invariants(tx, now=datetime.now(UTC)))
    if as_json:
        print(json.dumps(asdict(findings), default=str))
    else:
        print("\n".join(findings.problems) or "everything holds")
        show([asdict(item) for item in findings.uncleared])
    sys.exit(1 if findings.problems else 0)
