"""Traces of denied requests, searches by person and exports in the audit journal.

Every one is counted. Under a flood a few per minute, kind and address are listed; one more entry has the number of the
rest. What is denied is written in the background, so that nobody makes the journal wait; a search or an export by an
operator is written before its answer.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prometheus_client import Counter
from starlette.types import Scope

from hutong import db, operators
from hutong.clock import Clock

LISTED_MAX = 5
"""Entries of one kind and address in a minute, beside the one that has the number of the rest."""
ADDRESSES_MAX = 200
"""Kinds and addresses that have a place of their own at once; further addresses share one place for each kind."""
FLUSH_EVERY_S = 1.0

_WAITING_MAX = 10_000
_MINUTE = timedelta(minutes=1)
_ELSEWHERE = "other addresses"
_KEY = re.compile(r"Bearer sk_((?:opr_)?[0-7][0-9a-hjkmnp-tv-z]{25})_")
_TRACED = Counter("hutong_traced_requests_total", "Denied requests, searches by person and exports.", ["kind"])
_KINDS = {
    "denied.key": "the key is missing, wrong or revoked",
    "denied.link": "the link opens no payment",
    "denied.notification": "the notification is not proven to be the channel's own, or was taken before",
    "denied.origin": "a page of another site sent the request",
    "denied.role": "the operator may not do this",
    "read.export": "payment records were exported",
    "read.person": "payment records were searched by person",
}


@dataclass(slots=True)
class _Window:
    """The minute of one kind and address."""

    began_at: datetime
    listed: int = 0
    left_out: int = 0


@dataclass(slots=True)
class Traces:
    """The traces of one process that are not in the journal yet, in a bounded amount of memory."""

    clock: Clock
    _windows: OrderedDict[tuple[str, str], _Window] = field(default_factory=OrderedDict)
    _waiting: list[operators.AuditEntry] = field(default_factory=list)

    def denied(self, scope: Scope, status: int) -> None:
        """Note a request that was answered with 401, with 403, or with 404 for a payer's link."""
        operator: UUID | None = scope.get("operator_id")
        kind = {401: "denied.key", 404: "denied.link"}.get(status)
        if kind is None:
            kind = "denied.origin" if operator is None else "denied.role"
        if self._is_listed(kind, _address(scope)):
            self._waiting.append(_entry(kind, scope, operator, ("address", _address(scope)), _presented_key(scope)))

    def refused(self, scope: Scope, account: str, *, channel: str, reason: str, detail: str) -> None:
        """Note a notification to an account at a channel that was refused, with the reason that its sender never sees.

        Args:
            account: The public id of the account.
        """
        kind, address = "denied.notification", _address(scope)
        if self._is_listed(kind, address):
            details = {"channel": channel, "reason": reason, "detail": detail[:256]}
            self._waiting.append(_entry(kind, scope, None, ("channel_account", account), details))

    async def read(
        self,
        database: db.Database,
        scope: Scope,
        kind: str,
        *,
        actor_id: UUID | None,
        about: tuple[str, str],
        conditions: Mapping[str, Any],
    ) -> None:
        """Note a search by person or an export, and write it.

        Args:
            kind: "read.person" or "read.export".
            about: The kind and the id of the object in the journal.
        """
        if self._is_listed(kind, _address(scope)):
            entry = _entry(kind, scope, actor_id, about, {"conditions": dict(conditions)})
            await database.run(lambda tx: operators.audit(tx, [entry], now=self.clock.now()))

    async def flush(self, database: db.Database, *, at_end: bool = False) -> None:
        """Write what waits, and the numbers of what was left out in minutes that are over.

        Args:
            at_end: Of unfinished minutes as well.
        """
        now = self.clock.now()
        for key, window in list(self._windows.items()):
            if at_end or abs(now - window.began_at) >= _MINUTE:
                del self._windows[key]
                self._close(key, window)
        entries, self._waiting = self._waiting, []
        if not entries:
            return
        try:
            await database.run(lambda tx: operators.audit(tx, entries, now=now))
        except BaseException:
            self._waiting = (entries + self._waiting)[:_WAITING_MAX]
            raise

    def _is_listed(self, kind: str, address: str) -> bool:
        """Count a request; return whether the journal lists it."""
        _TRACED.labels(kind).inc()
        now, key = self.clock.now(), (kind, address)
        if key not in self._windows and len(self._windows) >= ADDRESSES_MAX:
            key = (kind, _ELSEWHERE)
        window = self._windows.get(key)
        if window is not None and abs(now - window.began_at) >= _MINUTE:
            self._close(key, self._windows.pop(key))
            window = None
        if window is None:
            window = self._windows[key] = _Window(now)
        if window.listed >= LISTED_MAX:
            window.left_out += 1
            return False
        window.listed += 1
        return True

    def _close(self, key: tuple[str, str], window: _Window) -> None:
        kind, address = key
        if window.left_out:
            reason = f"{_KINDS[kind]}: {window.left_out} more within a minute"
            after = {"left_out": window.left_out, "since": window.began_at.isoformat()}
            self._waiting.append(operators.AuditEntry(None, kind, "address", address, reason, after=after))


def _entry(
    kind: str, scope: Scope, actor_id: UUID | None, about: tuple[str, str], details: Mapping[str, Any]
) -> operators.AuditEntry:
    route = getattr(scope.get("route"), "path", "unmatched")  # the request's own path could hold a secret
    after = {"method": scope["method"], "route": route, "address": _address(scope), **details}
    object_kind, object_id = about
    return operators.AuditEntry(
        actor_id, kind, object_kind, object_id, _KINDS[kind], after=after, request_id=scope.get("request_id")
    )


def _address(scope: Scope) -> str:
    return str(scope["client"][0])[:255] if scope.get("client") else "unknown"


def _presented_key(scope: Scope) -> dict[str, str]:
    """Return the public part of the key in a request, which names a revoked one; never the secret part."""
    sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
    found = _KEY.match(sent)
    if found is None:
        return {}
    return {"key": found[1] if found[1].startswith(operators.OPERATOR_PREFIX) else f"key_{found[1]}"}
