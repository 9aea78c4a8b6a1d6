"""The journal of what operators did: written once, chained, never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from hutong import db
from hutong.errors import InvalidParameter
from hutong.operators.model import REASON_LENGTH_MAX, AuditEntry, AuditRecord, AuditVerdict
from hutong.operators.statements import sql


async def audit(tx: db.Tx, entries: Sequence[AuditEntry], *, now: datetime) -> None:
    """Write what was done, in the transaction that does it.

    Effects:
        Holds the end of the chain until the transaction ends, so writers wait for one another: meant for what
        people do, and called last.

    Errors:
        InvalidParameter: a reason that is blank or too long.
    """
    for entry in entries:
        check_reason(entry.reason)
    if entries:
        await sql.insert_audit.execute(
            tx,
            now,
            [entry.actor_id for entry in entries],
            [entry.action for entry in entries],
            [entry.object_kind for entry in entries],
            [entry.object_id for entry in entries],
            [entry.reason for entry in entries],
            [_json(entry.before) for entry in entries],
            [_json(entry.after) for entry in entries],
            [entry.request_id for entry in entries],
        )


async def list_audit(
    tx: db.Tx, *, before_seq: int | None = None, about: tuple[str, str] | None = None, limit: int = 100
) -> list[AuditRecord]:
    """The journal, newest first.

    Args:
        before_seq: Only rows before this number.
        about: The kind and id of the one object asked about.
    """
    kind, object_id = about or (None, None)
    return [
        AuditRecord(
            row["seq"],
            row["at"],
            AuditEntry(
                row["actor_id"],
                row["action"],
                row["object_kind"],
                row["object_id"],
                row["reason"],
                _read(row["before"]),
                _read(row["after"]),
                row["request_id"],
            ),
        )
        for row in await sql.list_audit.fetch(tx, before_seq, kind, object_id, limit)
    ]


async def verify_audit(tx: db.Tx) -> AuditVerdict:
    """Prove that no row was removed, altered or put in between since it was written. Reads everything."""
    found = await sql.verify_audit.fetchrow(tx)
    assert found is not None
    problems = []
    if found["gap_before"] is not None:
        problems.append(f"rows are missing before row {found['gap_before']}")
    if found["altered"] is not None:
        problems.append(f"row {found['altered']} is not as it was written")
    if not found["ends_at_head"]:
        problems.append(f"the journal does not end with row {found['head_seq']} as it did")
    return AuditVerdict(found["rows"], found["head_hash"].hex(), problems)


def check_reason(reason: str) -> None:
    """Refuse what is no reason.

    Errors:
        InvalidParameter: blank, too long, or not text that can be stored.
    """
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX or "\0" in reason:
        raise InvalidParameter(f"a reason has 1 to {REASON_LENGTH_MAX} characters", param="reason")


def _json(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else orjson.dumps(dict(document)).decode()


def _read(text: str | None) -> dict[str, Any] | None:
    return None if text is None else orjson.loads(text)
