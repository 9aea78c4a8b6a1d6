"""The audit journal of operators' actions: written once, chained by hashes, never changed."""

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
    """Write entries into the journal, in the transaction of the action itself.

    Effects:
        Holds the end of the chain until the transaction ends, so that writers wait for one another. Meant for actions
        of people; call it last.

    Errors:
        InvalidParameter: a reason is blank or too long.
    """
    for entry in entries:
        check_reason(entry.reason)
    if entries:
        await sql.insert_audit.execute(
            tx,
            rows=entries,
            at=now,
            before=[_json(entry.before) for entry in entries],
            after=[_json(entry.after) for entry in entries],
        )


async def list_audit(
    tx: db.Tx, *, before_seq: int | None = None, about: tuple[str, str] | None = None, limit: int = 100
) -> list[AuditRecord]:
    """Return the journal, newest first.

    Args:
        before_seq: Only rows with a lower number.
        about: Only rows about the object of this kind and id.
    """
    kind, object_id = about or (None, None)
    rows = await sql.list_audit.fetch(tx, before_seq=before_seq, object_kind=kind, object_id=object_id, limit=limit)
    return [AuditRecord(row["seq"], row["at"], _read_entry(row)) for row in rows]


async def verify_audit(tx: db.Tx) -> AuditVerdict:
    """Prove that no row was removed, altered or inserted since it was written. Reads the whole journal."""
    verified = await sql.verify_audit.fetchrow(tx)
    assert verified is not None
    problems = []
    if verified["gap_before"] is not None:
        problems.append(f"rows are missing before row {verified['gap_before']}")
    if verified["altered"] is not None:
        problems.append(f"row {verified['altered']} is not as it was written")
    if not verified["ends_at_head"]:
        problems.append(f"the journal no longer ends with row {verified['head_seq']}")
    return AuditVerdict(verified["rows"], verified["head_hash"].hex(), problems)


def check_reason(reason: str) -> None:
    """Refuse a text that is not a reason.

    Errors:
        InvalidParameter: the text is blank, too long, or cannot be stored.
    """
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX or "\0" in reason:
        raise InvalidParameter(f"`reason` must have 1 to {REASON_LENGTH_MAX} characters", param="reason")


def _json(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else orjson.dumps(dict(document)).decode()


def _read_json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else orjson.loads(text)


_read_entry = db.reader(AuditEntry, sql["audit_entry"], before=_read_json, after=_read_json)
