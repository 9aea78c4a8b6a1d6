"""Payment links: addresses at which payers pay a merchant without an order, such as by the QR code of a poster."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ids, money, operators
from hutong.errors import InvalidParameter, NotFound
from hutong.merchants.statements import sql

PREFIX = "lnk"
SUBJECT_LENGTH_MAX = 127
AMOUNT_MINOR_MAX = 999_999_999_999_999
"""The largest amount of an order."""


@dataclass(frozen=True, slots=True)
class PaymentLink:
    """A link.

    Attributes:
        subject: Shown to payers.
        least_minor, most_minor: What a payer may enter; if they are equal, the amount is fixed.
    """

    link_id: UUID
    merchant_id: UUID
    subject: str
    currency: str
    least_minor: int
    most_minor: int
    created_at: datetime
    disabled_at: datetime | None = None

    @property
    def has_fixed_amount(self) -> bool:
        return self.least_minor == self.most_minor

    def document(self) -> dict[str, Any]:
        """Return what commands show of it, and the journal."""
        return {
            "link_id": ids.encode(PREFIX, self.link_id),
            "merchant_id": ids.encode("mer", self.merchant_id),
            "subject": self.subject,
            "currency": self.currency,
            "least_minor": self.least_minor,
            "most_minor": self.most_minor,
            "disabled_at": None if self.disabled_at is None else self.disabled_at.isoformat(),
        }


async def create_link(tx: db.Tx, link: PaymentLink, *, reason: str) -> None:
    """Create a link.

    Effects:
        Writes an audit entry.

    Errors:
        NotFound: there is no such merchant.
        InvalidParameter: the subject, the currency or an amount cannot be one.
    """
    subject = link.subject
    if not subject.strip() or len(subject) > SUBJECT_LENGTH_MAX or not subject.isprintable():
        raise InvalidParameter(f"`subject` must have 1 to {SUBJECT_LENGTH_MAX} printable characters", param="subject")
    money.currency(link.currency)
    if not 1 <= link.least_minor <= link.most_minor <= AMOUNT_MINOR_MAX:
        raise InvalidParameter("the least amount must be at least 1 and at most the most", param="amount")
    values = asdict(link)
    del values["disabled_at"]
    if await sql.insert_payment_link.execute(tx, **values) == "INSERT 0 0":
        raise NotFound("no merchant has this id")
    document = link.document()
    entry = operators.AuditEntry(
        None, "payment_link.add", "payment_link", document["link_id"], reason, after=document
    )  # fmt: skip
    await operators.audit(tx, [entry], now=link.created_at)


async def disable_link(tx: db.Tx, link_id: UUID, *, reason: str, now: datetime) -> None:
    """Let nobody pay by a link any more, permanently; payments that it has created go on.

    Effects:
        Writes an audit entry.

    Repeat:
        The first time stays.

    Errors:
        NotFound: there is no such link.
    """
    if await sql.disable_payment_link.fetchval(tx, link_id, now) is None:
        raise NotFound("no payment link has this id")
    entry = operators.AuditEntry(None, "payment_link.disable", "payment_link", ids.encode(PREFIX, link_id), reason)
    await operators.audit(tx, [entry], now=now)


async def find_link(tx: db.Tx, link_id: UUID) -> PaymentLink:
    """Return a link, disabled or not.

    Errors:
        NotFound: there is no such link.
    """
    row = await sql.find_payment_link.fetchrow(tx, link_id)
    if row is None:
        raise NotFound("no payment link has this id")
    return _read_link(row)


async def list_links(tx: db.Tx, merchant_id: UUID) -> list[PaymentLink]:
    """Return the links of a merchant, oldest first."""
    return [_read_link(row) for row in await sql.list_payment_links.fetch(tx, merchant_id)]


_read_link = db.reader(PaymentLink, sql["payment_link"])
