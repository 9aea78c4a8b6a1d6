"""Pins and blocks: what an operator wants whatever the score."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from hutong import db, operators
from hutong.errors import InvalidParameter, NotFound
from hutong.routing.model import PRODUCT, Candidate
from hutong.routing.statements import sql

OVERRIDE_PREFIX = "rto"
PIN_MAX = timedelta(days=7)
"""A pin that nobody remembers must not outlive its reason."""


class Kind(StrEnum):
    """What an override does."""

    PIN = "pin"
    """The product goes through this account and no other, however it is doing, until the end."""
    BLOCK = "block"
    """The account gets nothing new, until the end or until it is lifted."""
    LEAVE = "leave"
    """Where operators confirm switches, one interface of the account gets nothing: they confirmed to leave it."""


@dataclass(frozen=True, slots=True)
class Override:
    """A pin or a block.

    Attributes:
        product: What is pinned; empty is every product.
        account: Its name, such as "wechat/main"; a block may name a channel.
        until: Never None for a pin.
        interface: What is left.
    """

    override_id: UUID
    kind: Kind
    product: str
    account: str
    until: datetime | None
    reason: str
    operator_id: UUID
    created_at: datetime
    lifted_at: datetime | None = None
    interface: str = ""

    def document(self) -> Mapping[str, Any]:
        """As the journal keeps it."""
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
    wanted: Override,
    *,
    candidates: Sequence[Candidate],
    products: Collection[str] = (),
    request_id: str | None = None,
) -> Override:
    """Pin or block; every process goes by it within two seconds. A new pin of a product takes the old one's place.

    Args:
        candidates: The accounts there are.
        products: Those that have a policy of their own.

    Effects:
        Writes one audit entry.

    Errors:
        InvalidParameter: a pin without an end, an end that is past or too far, a blank reason, an account or a product
            that is not there.
    """
    operators.check_reason(wanted.reason)
    _check_names(wanted, candidates, products)
    if wanted.until is not None and wanted.until <= wanted.created_at:
        raise InvalidParameter("must lie in the future", param="until")
    if wanted.kind is Kind.PIN:
        if wanted.until is None or wanted.until - wanted.created_at > PIN_MAX:
            raise InvalidParameter(f"a pin ends within {PIN_MAX.days} days", param="until")
        await sql.end_pins.execute(tx, wanted.product, wanted.created_at)
    await insert_override(tx, wanted)
    entry = operators.AuditEntry(
        wanted.operator_id,
        f"routing.{wanted.kind}",
        "routing",
        wanted.account,
        wanted.reason,
        after=wanted.document(),
        request_id=request_id,
    )
    await operators.audit(tx, [entry], now=wanted.created_at)
    return wanted


async def insert_override(tx: db.Tx, wanted: Override) -> None:
    """Write one that was checked and is audited by the caller."""
    await sql.add_override.execute(
        tx,
        wanted.override_id,
        wanted.kind,
        wanted.product,
        wanted.account,
        wanted.until,
        wanted.reason,
        wanted.operator_id,
        wanted.created_at,
        wanted.interface,
    )


def _check_names(wanted: Override, candidates: Sequence[Candidate], products: Collection[str]) -> None:
    """A pin on what is not there would refuse every payment, and a block would keep nothing away."""
    names = {candidate.name for candidate in candidates}
    if wanted.kind is Kind.BLOCK:
        names |= {candidate.channel for candidate in candidates}
    if wanted.account not in names:
        raise InvalidParameter(
            f"there is no account {wanted.account}; there are {', '.join(sorted(names))}", param="account"
        )
    if wanted.product not in {"", PRODUCT, *products}:
        raise InvalidParameter(f"there is no product {wanted.product}", param="product")


async def lift_override(
    tx: db.Tx, override_id: UUID, *, operator_id: UUID, reason: str, now: datetime, request_id: str | None = None
) -> Override:
    """End a pin or a block before its time.

    Errors:
        NotFound: there is none, or it has ended.
    """
    operators.check_reason(reason)
    row = await sql.lift_override.fetchrow(tx, override_id, now)
    if row is None:
        raise NotFound("nothing that still holds has this id")
    lifted = _override(row)
    entry = operators.AuditEntry(
        operator_id, "routing.lift", "routing", lifted.account, reason, before=lifted.document(), request_id=request_id
    )
    await operators.audit(tx, [entry], now=now)
    return lifted


async def standing_overrides(tx: db.Tx, *, now: datetime) -> list[Override]:
    """The pins and blocks that hold, in the order they were made."""
    return [_override(row) for row in await sql.standing_overrides.fetch(tx, now)]


def _override(row: asyncpg.Record) -> Override:
    return Override(
        row["id"],
        Kind(row["kind"]),
        row["product"],
        row["account"],
        row["until"],
        row["reason"],
        row["operator_id"],
        row["created_at"],
        row["lifted_at"],
        row["interface"],
    )
