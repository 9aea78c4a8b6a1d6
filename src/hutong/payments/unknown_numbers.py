"""The numbers that channels know and a restored database does not: kept while catching up, and adopted later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from uuid import UUID

from hutong import channels, db, ids
from hutong.channels import About, ChannelAnswer, ChannelState, Notification
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.payments.exception_items import seal_message
from hutong.payments.model import NewAttempt
from hutong.payments.refunds.model import read_number
from hutong.payments.statements import sql
from hutong.telemetry import get_logger
from hutong.vault import Vault

_log = get_logger(__name__)
_ORDINALS_MAX = 50


class NumberSource(StrEnum):
    """How a number became known."""

    NOTIFICATION = "notification"
    BILL = "bill"
    """It stands in a bill, which is no proof: only a query is."""


@dataclass(frozen=True, slots=True)
class UnknownNumber:
    """An order, a refund or a payout that a channel has reported and that this database does not know.

    Attributes:
        state: UNKNOWN for a row of a bill.
        amount_minor, currency, channel_order_no, happened_at: As the channel reported them last.
        paid_minor, settled_minor: The other two of the channel's sums, where they are not the amount.
    """

    account_id: UUID
    number: str
    about: About
    state: ChannelState
    amount_minor: int | None
    currency: str | None
    channel_order_no: str | None
    happened_at: datetime | None
    first_at: datetime
    last_at: datetime
    source: NumberSource
    paid_minor: int | None = None
    settled_minor: int | None = None

    @property
    def sums(self) -> channels.sums.Sums | None:
        """The channel's sums, without the names of the discounts; None where all are the amount."""
        return channels.sums.Sums.kept(self.amount_minor, self.paid_minor, self.settled_minor)

    @property
    def notification(self) -> Notification:
        """The report as it was received, without the mark against replays."""
        answer = ChannelAnswer(
            self.state,
            self.amount_minor,
            self.currency,
            channel_order_no=self.channel_order_no,
            happened_at=self.happened_at,
            sums=self.sums,
        )
        return Notification(self.number, answer, self.about)


_read = db.reader(UnknownNumber, sql["unknown_number"])


@dataclass(frozen=True, slots=True)
class UnknownReport:
    """A verified report about a number that the database does not know, and the message that brought it."""

    account_id: UUID
    notification: Notification
    headers: Mapping[str, str]
    body: bytes


async def keep_unknown_number(
    database: db.Database, vault: Vault | None, report: UnknownReport, *, now: datetime
) -> None:
    """Keep a report about a number that this database does not know; its message is kept sealed.

    Repeat:
        The last report of a number counts.
    """
    account, notification = ids.encode("acc", report.account_id), report.notification
    sealed = seal_message(vault, report.account_id, notification.number, report.headers, report.body)
    keep = partial(
        sql.keep_unknown_number.execute,
        at=now,
        rows=[notification.answer],
        account_id=[report.account_id],
        number=[notification.number],
        about=[notification.about],
        message=[sealed],
    )
    await database.run(keep)
    about, state = notification.about.value, notification.answer.state.value
    _log.error("unknown_number_reported", account=account, number=notification.number, about=about, state=state)


async def list_unknown_numbers(tx: db.Tx, number: str | None = None) -> list[UnknownNumber]:
    """Return the numbers that wait to be adopted, oldest first; with a number, that one alone."""
    return [_read(row) for row in await sql.list_unknown_numbers.fetch(tx, number)]


async def find_unknown_number(tx: db.Tx, number: str, about: About) -> UnknownNumber:
    """Return one of the numbers that wait to be adopted.

    Errors:
        NotFound: no such number waits.
        InvalidParameter: it belongs to an object of another type.
        Conflict: two accounts have reported the number.
    """
    found = await list_unknown_numbers(tx, number)
    if not found:
        raise NotFound("no such number waits to be adopted", param="NUMBER")
    if len(found) > 1:
        raise Conflict("more than one channel account has reported this number")
    if found[0].about is not about:
        raise InvalidParameter(f"the number is that of a {found[0].about}", param="NUMBER")
    return found[0]


@dataclass(frozen=True, slots=True)
class NumberOwner:
    """The payment, and the attempt or refund, that has a number."""

    payment_id: UUID
    object_id: UUID


async def owners_of(tx: db.Tx, numbers: Sequence[tuple[str, About]]) -> dict[str, NumberOwner]:
    """Return what has these numbers, at whatever account; a number that nothing has is left out."""
    wanted: dict[UUID, str] = {}
    for number, about in numbers:
        with suppress(NotFound):  # it has not the form of ours
            wanted[ids.decode("att", number) if about is About.PAYMENT else read_number(number)[1]] = number
    rows = await sql.owners_of_numbers.fetch(tx, list(wanted)) if wanted else []
    return {wanted[row["id"]]: NumberOwner(row["payment_id"], row["id"]) for row in rows}


async def adopt_proven(tx: db.Tx, waiting: Sequence[UnknownNumber], *, now: datetime) -> int:
    """Take the numbers of bills off the list that are known by now and proven by their channels; return how many."""
    billed = [unknown for unknown in waiting if unknown.source is NumberSource.BILL]
    if not billed:
        return 0
    our_ids = [ids.decode("att", n.number) if n.about is About.PAYMENT else read_number(n.number)[1] for n in billed]
    return len(await sql.adopt_proven.fetch(tx, rows=billed, our_id=our_ids, at=now))


async def dismiss_number(tx: db.Tx, number: str, *, by: str, reason: str, now: datetime) -> None:
    """Take a number off the list by a person's decision; a later notification about it puts it there again.

    Errors:
        NotFound: no such number waits.
    """
    found = await list_unknown_numbers(tx, number)
    if not found:
        raise NotFound("no such number waits to be adopted", param="NUMBER")
    for unknown in found:
        await sql.dismiss_number.execute(tx, unknown.account_id, unknown.number, now, by, reason)
    _log.info("unknown_number_dismissed", number=number, by=by, reason=reason)


async def mark_adopted(tx: db.Tx, unknown: UnknownNumber, *, now: datetime) -> None:
    """Take a number off the list."""
    await sql.mark_adopted.execute(tx, unknown.account_id, unknown.number, now)


def lost_attempt(
    unknown: UnknownNumber, source: ids.Ids, *, merchant_id: UUID, merchant_order_no: str, channel: str, method: str
) -> NewAttempt:
    """Return the attempt that a number stands for, once merchant and order are known.

    Errors:
        InvalidParameter: the number does not follow from this merchant's order, so that it is another's.
    """
    wanted = ids.decode("att", unknown.number)
    account_id = unknown.account_id
    ordinals = range(1, _ORDINALS_MAX + 1)
    if all(source.derive("attempt", merchant_id, merchant_order_no, account_id, n) != wanted for n in ordinals):
        raise InvalidParameter("the number does not belong to this order of this merchant", param="--order-no")
    return NewAttempt(wanted, account_id, channel, method)


async def query_everything_open(tx: db.Tx, *, now: datetime) -> None:
    """Make every open attempt and refund due for a query now, as after a restore."""
    await sql.query_all_attempts.execute(tx, now)
    await sql.query_all_refunds.execute(tx, now)


async def count_unasked(tx: db.Tx, since: datetime) -> tuple[int, int]:
    """Count the open attempts and refunds from before a restore that have no definite answer since."""
    row = await sql.count_unasked.fetchrow(tx, since)
    assert row is not None
    return row["attempts"], row["refunds"]
