"""A file that was received is read: refused whole, or its rows count, and what they contradict is replaced."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from hutong import channels, db, ids
from hutong.channels import BillRefused
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.exclusion import alone
from hutong.reconciliation.files.receive import input_of
from hutong.reconciliation.files.restatement import compare
from hutong.reconciliation.files.store import files_that_count, find_file
from hutong.reconciliation.model import FILE_PREFIX, BillFile, FileSource, FileState
from hutong.reconciliation.normalised import FaultyRow
from hutong.reconciliation.parsing import normalise_input, part_of
from hutong.reconciliation.parties import Counterparty, find_party
from hutong.reconciliation.requests import BY_ITSELF, request_run
from hutong.reconciliation.statements import sql
from hutong.reconciliation.workplace import Reconciliation
from hutong.telemetry import RareLine, get_logger

_log = get_logger(__name__)
_unread = RareLine(_log, "error", "reconciliation_file_unread")
_REASON_MAX = 500


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What reading has come to, beside the state."""

    state: FileState
    rows: int | None = None
    faults: Sequence[FaultyRow] = ()
    totals: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    replaced_by: UUID | None = None
    replaces: tuple[UUID, ...] = ()


async def read_file(use: Reconciliation, file_id: UUID, *, by: str = BY_ITSELF) -> BillFile:
    """Read a file that was received.

    Effects:
        Refuses it whole, or lets its rows count. It is replaced at once where the others of its day have all of its
        rows, and replaces those that it corrects. Rows that cannot be read are kept for people. A change of what
        counts requests a run of the day.

    Repeat:
        A file that was read stays as it is.

    Errors:
        NotFound. Conflict: a run of the account has been under way for too long.
    """
    async with use.database.transaction() as tx:
        file = await find_file(tx, file_id)
    if file.state is not FileState.RECEIVED:
        return file
    party = await find_party(use, file.account_id)
    async with alone(use.config.folder, party.name):
        async with use.database.transaction() as tx:
            file = await find_file(tx, file_id)
            others = await files_that_count(tx, file.account_id, file.day)
        if file.state is not FileState.RECEIVED:  # another process has read it in the meantime
            return file
        outcome = await asyncio.to_thread(_read, use, party, file, others)
        now, new_id = use.clock.now(), use.ids.new()

        async def settle(tx: db.Tx) -> BillFile:
            await sql.lock_files_of_day.fetch(tx, file.account_id, file.day)
            is_first = await sql.set_read.fetchval(
                tx,
                file_id=file_id,
                state=outcome.state,
                readable=outcome.rows,
                exceptions=None if outcome.rows is None else len(outcome.faults),
                totals=json.dumps(outcome.totals),
                reason=outcome.reason,
                replaced_by=outcome.replaced_by,
            )
            if is_first is None:  # read on another machine, whose folder is another
                return await find_file(tx, file_id)
            if outcome.replaces:
                await sql.replace_files.execute(tx, by=file_id, file_ids=outcome.replaces)
            if outcome.state is FileState.PARSED:
                await _keep_faults(tx, party, file, outcome.faults, now)
                await request_run(tx, file.account_id, file.day, by=by, now=now, new_id=new_id)
            return await find_file(tx, file_id)

        settled = await use.database.run(settle)
    if outcome.state is FileState.REFUSED:
        _log.error("reconciliation_file_refused", file=ids.encode(FILE_PREFIX, file_id), reason=outcome.reason)
    elif outcome.replaces:
        _log.warning("reconciliation_file_restated", file=ids.encode(FILE_PREFIX, file_id), files=len(outcome.replaces))
    return settled


async def read_received(use: Reconciliation) -> int:
    """Read the files that nobody has read yet; return how many were read.

    One that cannot be read now, such as one of an account whose credentials are locked, holds up no other.
    """
    async with use.database.transaction() as tx:
        rows = await sql.unread_files.fetch(tx)
    by_account: dict[UUID, list[UUID]] = {}
    for row in rows:
        by_account.setdefault(row["account_id"], []).append(row["id"])
    return await use.for_each(list(by_account.values()), _read_files)


async def _read_files(use: Reconciliation, file_ids: Sequence[UUID]) -> int:
    read = 0
    for file_id in file_ids:
        try:
            await read_file(use, file_id)
            read += 1
        except Exception as error:  # noqa: BLE001 - one file's trouble, whatever it is, must not hold up the others
            _unread.write(file=ids.encode(FILE_PREFIX, file_id), reason=str(error))
    return read


def _read(use: Reconciliation, party: Counterparty, file: BillFile, others: Sequence[BillFile]) -> _Outcome:
    folder, limits = RunFolder(use.config.folder, party.name, file.day), use.config.limits
    entry = input_of(file, party, ids.encode(FILE_PREFIX, file.file_id))
    place = len(others)
    try:
        read = normalise_input(folder, entry, place, limits)
    except BillRefused as error:
        return _Outcome(FileState.REFUSED, reason=str(error)[:_REASON_MAX])
    if read.exceptions and file.source is FileSource.BANK:
        first = read.exceptions[0]
        reason = f"line {first.line} cannot be read, and without it the balances prove nothing: {first.reason}"
        return _Outcome(FileState.REFUSED, reason=reason[:_REASON_MAX])
    counts = _Outcome(FileState.PARSED, read.rows, read.exceptions, dict(read.totals))
    own, parts = part_of(folder, entry, place), _parts(use, folder, party, others)
    for other, part in zip(others, parts, strict=True):
        if (
            other.file_id > file.file_id
            and compare(part, [own], limits, stands_for=_stands_for(other, [file])).overlapping
        ):
            reason = "a file that came in after it corrects it"
            return _Outcome(
                FileState.REPLACED, read.rows, read.exceptions, dict(read.totals), reason, replaced_by=other.file_id
            )
    seen = compare(own, parts, limits, stands_for=_stands_for(file, others))
    if seen.is_covered:
        return _Outcome(
            FileState.REPLACED,
            read.rows,
            read.exceptions,
            dict(read.totals),
            "the files of this day have all of its rows",
            others[0].file_id,
        )
    if not seen.overlapping:
        return counts
    return _Outcome(
        FileState.PARSED,
        read.rows,
        read.exceptions,
        dict(read.totals),
        f"corrects {len(seen.overlapping)} of this day's files: {seen.changed} rows are new or changed"
        + (f", {seen.missing} are gone or were otherwise" if seen.missing else ""),
        replaces=tuple(others[place].file_id for place in seen.overlapping),
    )


def _stands_for(file: BillFile, others: Sequence[BillFile]) -> list[int]:
    """Return the places of the files whose rows a file must have too, or they are gone."""
    return [at for at, other in enumerate(others) if file.is_whole and other.layout == file.layout]


def _parts(use: Reconciliation, folder: RunFolder, party: Counterparty, others: Sequence[BillFile]) -> list[Path]:
    """Return the rows of the files that count; those that are not at hand are read again."""
    parts = []
    for place, other in enumerate(others):
        entry = input_of(other, party, ids.encode(FILE_PREFIX, other.file_id))
        part = part_of(folder, entry, place)
        if not part.exists():
            normalise_input(folder, entry, place, use.config.limits)
        parts.append(part)
    return parts


async def _keep_faults(
    tx: db.Tx, party: Counterparty, file: BillFile, faults: Sequence[FaultyRow], now: datetime
) -> None:
    is_daily_bill = party.rule is not None and party.rule.format == file.layout
    kind = party.rule.kinds[0] if party.rule is not None and is_daily_bill else file.layout
    rows = [(fault.line, fault.reason, fault.text) for fault in faults]
    await channels.accounts.keep_faults(tx, file.account_id, kind, file.day, rows, now=now)
