"""Overrides: pins and blocks that operators set, whatever the score."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from hutong import db, operators
from hutong.errors import InvalidParameter, NotFound
from hutong.routing.model import PRODUCT, Candidate
from hutong.routing.statements import sql

PIN_MAX = timedelta(days=7)
"""A forgotten pin must not outlive its reason."""


class OverrideKind(StrEnum):
    """The effect of an override."""

    PIN = "pin"
    """The product's payments go through this account only, whatever its health, until the end of the pin."""
    BLOCK = "block"
    """The account gets no new payments, until the end of the block or until it is lifted."""
    LEAVE = "leave"
    """One interface of the account gets no payments: an operator confirmed the suggestion to leave it."""


@dataclass(frozen=True, slots=True)
class Override:
    """A pin or a block.

    Attributes:
        product: The product that is pinned; empty is every product.
        account: The account's name, such as "wechat/main"; a block may name a channel.
        until: Never None for a pin.
        interface: The interface that is left.
    """

    PREFIX: ClassVar[str] = "rto"

    override_id: UUID
    kind: OverrideKind
    product: str
    account: str
    until: datetime | None
    reason: str
    operator_id: UUID
    created_at: datetime
    lifted_at: datetime | None = None
    interface: str = ""

    def document(self) -> Mapping[str, Any]:
        """Return the override as the audit log records it."""
        until = None if self.until is None else self.until.isoformat()
        return {
            "kind": self.kind,
            "product": self.product,
            "account": self.account,
            "interface": self.interface,
            "until": until,
        }


async def add_override(
    tx: db.Tx,
    override: Override,
    *,
    candidates: Sequence[Candidate],
    products: Collection[str] = (),
    request_id: str | None = None,
) -> Override:
    """Pin or block an account; every process applies it within two seconds.

    A new pin of a product replaces the previous one.

    Args:
        candidates: The existing accounts.
        products: The products that have a policy of their own.

    Effects:
        Writes one audit entry.

    Errors:
        InvalidParameter: a pin without an end, an end that is past or too far, a blank reason, an account or a product
            that does not exist.
    """
    operators.check_reason(override.reason)
    _check_names(override, candidates, products)
    if override.until is not None and override.until <= override.created_at:
        raise InvalidParameter("until must lie in the future", param="until")
    if override.kind is OverrideKind.PIN:
        if override.until is None or override.until - override.created_at > PIN_MAX:
            raise InvalidParameter(f"a pin must end within {PIN_MAX.days} days", param="until")
        await sql.end_pins.execute(tx, override.product, override.created_at)
    await insert_override(tx, override)
    entry = operators.AuditEntry(
        override.operator_id,
        f"routing.{override.kind}",
        "routing",
        override.account,
        override.reason,
        after=override.document(),
        request_id=request_id,
    )
    await operators.audit(tx, [entry], now=override.created_at)
    return override


async def insert_override(tx: db.Tx, override: Override) -> None:
    """Insert an override that the caller has checked and audits."""
    await sql.add_override.execute(
        tx,
        override_id=override.override_id,
        kind=override.kind,
        product=override.product,
        account=override.account,
        until=override.until,
        reason=override.reason,
        operator_id=override.operator_id,
        created_at=override.created_at,
        interface=override.interface,
    )


def _check_names(override: Override, candidates: Sequence[Candidate], products: Collection[str]) -> None:
    """Refuse names that do not exist: such a pin would refuse every payment, and such a block would have no effect."""
    names = {candidate.name for candidate in candidates}
    if override.kind is OverrideKind.BLOCK:
        names |= {candidate.channel for candidate in candidates}
    if override.account not in names:
        raise InvalidParameter(
            f"there is no account {override.account}; there are {', '.join(sorted(names))}", param="account"
        )
    if override.product not in {"", PRODUCT, *products}:
        raise InvalidParameter(f"there is no product {override.product}", param="product")


async def lift_override(
    tx: db.Tx, override_id: UUID, *, operator_id: UUID, reason: str, now: datetime, request_id: str | None = None
) -> Override:
    """Lift a pin or a block before its end.

    Errors:
        NotFound: there is no such override, or it has ended.
    """
    operators.check_reason(reason)
    row = await sql.lift_override.fetchrow(tx, override_id, now)
    if row is None:
        raise NotFound("no active override has this id")
    lifted = _read_override(row)
    entry = operators.AuditEntry(
        operator_id, "routing.lift", "routing", lifted.account, reason, before=lifted.document(), request_id=request_id
    )
    await operators.audit(tx, [entry], now=now)
    return lifted


async def active_overrides(tx: db.Tx, *, now: datetime) -> list[Override]:
    """Return the overrides that have not ended, oldest first."""
    return [_read_override(row) for row in await sql.active_overrides.fetch(tx, now)]


_read_override = db.reader(Override, sql["override"])
