"""The table of files, read and written."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from hutong import db, ids
from hutong.clock import instant
from hutong.errors import NotFound
from hutong.reconciliation.model import BANK_PREFIX, FILE_PREFIX, BillFile, FileSource, FileState
from hutong.reconciliation.statements import sql

_read = db.reader(BillFile, sql["bill_file"], totals=json.loads)


async def list_files(
    tx: db.Tx,
    *,
    account_id: UUID | None = None,
    day: date | None = None,
    state: FileState | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[BillFile]:
    """Return files, the last that came in first.

    Args:
        before: Only those that came in before this one.
    """
    rows = await sql.list_files.fetch(tx, account_id=account_id, day=day, state=state, before=before, limit=limit)
    return [_read(row) for row in rows]


async def find_file(tx: db.Tx, file_id: UUID) -> BillFile:
    """Return a file.

    Errors:
        NotFound.
    """
    row = await sql.find_file.fetchrow(tx, file_id)
    if row is None:
        raise NotFound("no file has this id")
    return _read(row)


async def find_same(tx: db.Tx, account_id: UUID, layout: str, sha256: str) -> BillFile | None:
    """Return the file with the same content, whatever its name was."""
    row = await sql.find_same_file.fetchrow(tx, account_id=account_id, layout=layout, sha256=sha256)
    return None if row is None else _read(row)


async def files_that_count(tx: db.Tx, account_id: UUID, day: date) -> list[BillFile]:
    """Return the files whose rows count on a day, in the order in which they came in."""
    return [_read(row) for row in await sql.files_that_count.fetch(tx, account_id, day)]


def account_name(source: FileSource, account_id: UUID) -> str:
    """Return the public id of the account of a file."""
    return ids.encode(BANK_PREFIX if source is FileSource.BANK else "acc", account_id)


def file_document(file: BillFile) -> dict[str, Any]:
    """Return the form for operators."""
    rest = asdict(file)
    del rest["file_id"]
    return (
        {"id": ids.encode(FILE_PREFIX, file.file_id), "object": "reconciliation_file"}
        | rest
        | {
            "account_id": account_name(file.source, file.account_id),
            "day": file.day.isoformat(),
            "received_at": instant(file.received_at),
            "replaced_by": None if file.replaced_by is None else ids.encode(FILE_PREFIX, file.replaced_by),
        }
    )
