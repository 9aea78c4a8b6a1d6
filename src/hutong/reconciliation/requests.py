"""Requests to reconcile a day and those after it, made with each change of what the day stands on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hutong import db, ids
from hutong.clock import instant
from hutong.errors import NotFound
from hutong.reconciliation.statements import sql

REQUEST_PREFIX = "rcq"
BY_ITSELF = "hutong"
"""Who requests what no person does."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request to reconcile a day of an account, and the days after it that were reconciled before.

    Attributes:
        requested_by: A person's public id, or "hutong".
        stage: How far its run is; None while none is under way.
        error: Why its last run has failed.
    """

    request_id: UUID
    account_id: UUID
    day: date
    requested_at: datetime
    requested_by: str
    next_at: datetime
    failures: int
    stage: str | None
    error: str | None
    done_at: datetime | None

    def document(self, account: str) -> dict[str, Any]:
        """Return the form for operators.

        Args:
            account: The public id of the account.
        """
        rest = asdict(self)
        del rest["request_id"]
        return (
            {"id": ids.encode(REQUEST_PREFIX, self.request_id), "object": "reconciliation_request"}
            | rest
            | {
                "account_id": account,
                "day": self.day.isoformat(),
                "requested_at": instant(self.requested_at),
                "next_at": instant(self.next_at),
                "done_at": None if self.done_at is None else instant(self.done_at),
            }
        )


_read = db.reader(RunRequest, sql["run_request"])


async def request_run(tx: db.Tx, account_id: UUID, day: date, *, by: str, now: datetime, new_id: UUID) -> RunRequest:
    """Request that a day and those after it are reconciled.

    Repeat:
        The request that is open, as of now.
    """
    row = await sql.add_request.fetchrow(tx, request_id=new_id, account_id=account_id, day=day, at=now, by=by)
    assert row is not None
    return _read(row)


async def list_requests(tx: db.Tx, *, open_only: bool = False, limit: int) -> list[RunRequest]:
    """Return requests, the last first."""
    return [_read(row) for row in await sql.list_requests.fetch(tx, open_only=open_only, limit=limit)]


async def find_request(tx: db.Tx, request_id: UUID) -> RunRequest:
    """Return a request.

    Errors:
        NotFound.
    """
    row = await sql.find_request.fetchrow(tx, request_id)
    if row is None:
        raise NotFound("no request has this id")
    return _read(row)


async def due_requests(tx: db.Tx, now: datetime) -> list[RunRequest]:
    """Return the requests that are due, of each account the earliest day."""
    return [_read(row) for row in await sql.due_requests.fetch(tx, now)]
