"""The person behind an act, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hutong import db, ids, operators


@dataclass(frozen=True, slots=True)
class Person:
    """The operator who acts, why, and by which request.

    Attributes:
        request_id: The HTTP request that caused the act.
    """

    operator: operators.Operator
    reason: str
    request_id: str | None = None

    @property
    def by(self) -> str:
        """The operator as the books name them: name and id."""
        return name_of(self.operator)

    def check(self) -> None:
        """Refuse a person who may not act on the books.

        Errors:
            NotPermitted: the role is not enough.
            InvalidParameter: the reason is blank or too long.
        """
        operators.require(self.operator, operators.Role.OPERATOR)
        operators.check_reason(self.reason)

    async def note(
        self, tx: db.Tx, action: str, object_kind: str, object_id: object, *, now: datetime,
        before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Record an act of this person in the audit journal."""
        entry = operators.AuditEntry(
            self.operator.operator_id,
            f"ledger.{action}",
            object_kind,
            str(object_id),
            self.reason,
            before=before,
            after=after,
            request_id=self.request_id,
        )
        await operators.audit(tx, [entry], now=now)


def name_of(operator: operators.Operator) -> str:
    """Return an operator as the books name them: name and id."""
    return f"{operator.name} ({ids.encode(operators.OPERATOR_PREFIX, operator.operator_id)})"
