"""The audit journal of operators' actions: written once, chained by hashes, never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from hutong import db
from hutong.errors import InvalidParameter
from hutong.operators.model import REASON_LENGTH_MAX, AuditEntry, AuditRecord, AuditVerdict, Registration
from hutong.operators.statements import sql

_DEPARTURES = {
    "unrecorded": "is not as the journal states it: it was made or changed past the journal",
    "removed": "is in the journal and was removed past it",
    "revived": "is disabled or revoked by the journal and works all the same",
    "ended": "was disabled or revoked past the journal",
}


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


async def hold_snapshot(tx: db.Tx) -> None:
    """Let this transaction see one state until its end, and write nothing; to be called first."""
    await sql.steady_snapshot.execute(tx)


async def compare_with_journal(
    tx: db.Tx, object_kind: str, registered: Sequence[Registration], *, ended_by: str
) -> list[str]:
    """Return the objects that were made, changed, ended or removed past the journal, as one sentence each.

    Args:
        registered: All objects of the kind, read in this transaction, whose snapshot does not move.
        ended_by: The action that disables or revokes one.
    """
    rows = await sql.compare_with_journal.fetch(
        tx,
        object_kind=object_kind,
        ended_by=ended_by,
        object_id=[each.object_id for each in registered],
        properties=[_json(each.properties) for each in registered],
        ended=[each.ended for each in registered],
    )
    return [f"{row['object_id']} {_DEPARTURES[row['departure']]}" for row in rows]


def key_mark(key_hash: bytes) -> str:
    """Return the mark by which the journal knows a key: nobody can find the key, or its kept hash, from it."""
    return hashlib.sha256(key_hash).hexdigest()


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
