"""The inputs of a run: the original files, our own side, what waits from the day before, and what has ended."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import hutong
from hutong import channels, db, ids
from hutong.errors import Conflict
from hutong.reconciliation import bank, differences, expected
from hutong.reconciliation.archive import RunFolder, sha256_of
from hutong.reconciliation.batches import SettledBill, export_batches, first_with_batches
from hutong.reconciliation.computation import CLOSED, carry_over
from hutong.reconciliation.files import files_that_count, input_of
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.manifest import InputFile, Manifest, layer_document
from hutong.reconciliation.model import FILE_PREFIX, BillFile, FileSource, Run
from hutong.reconciliation.parsing import normalise_inputs
from hutong.reconciliation.parties import Counterparty
from hutong.reconciliation.runs.results import write_closed
from hutong.reconciliation.runs.store import read_run
from hutong.reconciliation.statements import sql
from hutong.reconciliation.workplace import Reconciliation

_FIRST_BATCHES = timedelta(days=5)
"""How far back the first statement of a bank account may pay batches of bills."""
_OURS = (SideSource.JOURNAL, SideSource.ORDERS, SideSource.PAYMENTS, SideSource.BATCHES)


@dataclass(frozen=True, slots=True)
class Day:
    """A day that is to be run.

    Attributes:
        files: Those that count.
        previous: The folder of the last day before it that was run; None for the first.
        last: Its own last run.
    """

    party: Counterparty
    folder: RunFolder
    files: Sequence[BillFile]
    previous: RunFolder | None
    last: Run | None

    @property
    def inputs(self) -> tuple[InputFile, ...]:
        """The original files, in their order."""
        return tuple(input_of(file, self.party, ids.encode(FILE_PREFIX, file.file_id)) for file in self.files)


async def find_day(use: Reconciliation, party: Counterparty, day: date) -> Day:
    """Return what the database knows of a day.

    Errors:
        Conflict: the day is not over, no bill of it has come, or the platform is catching up after a restore.
    """
    if use.clock.now() < (complete_at := party.window.complete_at(day)):
        raise Conflict(f"the books of {day} are complete at {complete_at.isoformat()}")
    async with use.database.transaction() as tx:
        if await db.open_catch_up(tx) is not None:
            raise Conflict("the platform is catching up after a restore: its books are not complete yet")
        files = await files_that_count(tx, party.account_id, day)
        if not files and not await sql.fetched.fetchval(tx, party.account_id, day):
            raise Conflict(f"no bill of {day} has come for this account")
        days = [row["day"] for row in await sql.run_days.fetch(tx, party.account_id, day)]
        row = await sql.find_run.fetchrow(tx, party.account_id, day)
    root = use.config.folder
    previous = RunFolder(root, party.name, days[0]) if days and days[0] < day else None
    return Day(party, RunFolder(root, party.name, day), files, previous, None if row is None else read_run(row))


async def freeze(use: Reconciliation, day: Day) -> str:
    """Write our own side of a day, and return the digest of all that the day stands on.

    Effects:
        Writes the rows of ours. Those of the books are written once and kept; the batches that a bank account expects
        follow from bills, which may come late or be corrected.
    """
    day.folder.inputs.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(normalise_inputs, day.folder, plan_of(use, day), use.config.limits)
    if day.party.source is FileSource.BANK:
        await asyncio.to_thread(_write_batches, use, day, *await _accounts(use))
    else:
        await expected.export_sides(
            use.database, day.folder, day.party.account_id, day.party.window, day.folder.day, use.clock.now()
        )
    return await asyncio.to_thread(_digest, use, day)


async def complete(use: Reconciliation, day: Day) -> None:
    """Write what else a run needs: ours that are not booked, what waits, and what has ended for good."""
    account_id, limits = day.party.account_id, use.config.limits
    if day.party.source is FileSource.BILL:
        await expected.write_known(use.database, day.folder, account_id, at=use.clock.now(), limits=limits)
    async with use.database.transaction() as tx:
        ended = await differences.closed_keys(tx, account_id)
    await asyncio.to_thread(write_closed, day.folder.path / "rows" / CLOSED, ended)
    # The first day has no day before it: of a folder that does not exist nothing is carried over.
    previous = day.previous or RunFolder(use.config.folder, day.party.name, date.min)
    await asyncio.to_thread(carry_over, previous, day.folder, day.party.layers, limits)


async def _accounts(use: Reconciliation) -> tuple[list[tuple[str, str]], list[bank.BankAccount]]:
    """Return the channels and public ids of all channel accounts, and all bank accounts."""
    async with use.database.transaction() as tx:
        entries = await channels.accounts.list_accounts(tx)
        return [(each.channel, ids.encode("acc", each.account_id)) for each in entries], await bank.list_accounts(tx)


def _write_batches(
    use: Reconciliation, day: Day, accounts: Sequence[tuple[str, str]], at_banks: Sequence[bank.BankAccount]
) -> None:
    """Write the batches that bills have promised since the last statement; money comes a day after its bill's day.

    Errors:
        Conflict: a bill promises money, and it is open to which bank account.
    """
    window = day.party.window
    earliest = min(day.folder.day - _FIRST_BATCHES, window.over_until(day.folder.day, window.rolls))
    first = earliest if day.previous is None else day.previous.day
    days = [first + timedelta(days=distance) for distance in range((day.folder.day - first).days)]
    currency, target = day.party.currency, day.folder.rows(SideSource.BATCHES)
    bills: list[SettledBill] = []
    for channel, account in accounts:
        found = [
            SettledBill(account, each, path)
            for each in days
            if (path := RunFolder(use.config.folder, account, each).rows(SideSource.BILL)).exists()
        ]
        receivers = bank.receivers_of(channel, account, currency, at_banks, use.config.settles_to)
        if len(receivers) > 1:
            open_bill = first_with_batches(found, target.parent, currency=currency)
            if open_bill is not None and day.party.account_id in {each.bank_account_id for each in receivers}:
                names = ", ".join(each.name for each in receivers)
                raise Conflict(
                    f"the bill of {open_bill.day} of {account} ({channel}) promises {currency}, and it may go to each "
                    f"of these bank accounts: {names}. Set {bank.SETTING}"
                )
        elif receivers and receivers[0].bank_account_id == day.party.account_id:
            bills += found
    export_batches(bills, target, currency=currency, window=window, memory_mb=use.config.memory_mb)


def plan_of(use: Reconciliation, day: Day) -> Manifest:
    """Return what is to be computed."""
    party = day.party
    return Manifest(
        account=party.name,
        channel=party.channel,
        day=day.folder.day,
        window=party.window,
        layers=party.layers,
        inputs=day.inputs,
        engine=use.config.engine,
        version=hutong.__version__,
    )


def _digest(use: Reconciliation, day: Day) -> str:
    """Return the digest of the inputs. The engine is none of them: every engine gives the same results."""
    plan = plan_of(use, day)
    carries = {} if day.previous is None else Manifest.read(day.previous.manifest).results
    parts = {
        "files": [[file.sha256, file.layout, file.account] for file in plan.inputs],
        "ours": {s: sha256_of(day.folder.rows(s)) for s in _OURS if day.folder.rows(s).exists()},
        "carries": {name: digest for name, digest in carries.items() if name.startswith("carry-")},
        "window": repr(plan.window),
        "layers": [layer_document(layer) for layer in plan.layers],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


async def days_from(use: Reconciliation, account_id: UUID, day: date) -> list[date]:
    """Return the days after a day that were run before: they stand on it."""
    async with use.database.transaction() as tx:
        days = [row["day"] for row in await sql.run_days.fetch(tx, account_id, day)]
    return [each for each in days if each > day]
