"""Entries of bank statements, before they become rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from hutong import money
from hutong.channels import BillRefused
from hutong.errors import InvalidParameter
from hutong.reconciliation.model import DayWindow

FORMATS = ("camt", "mt940", "bai2")
"""The formats of statements that have a reader of their own; others are read by a layout."""

BANK_WINDOW = DayWindow(timedelta(hours=8), rolls=4)
"""Money comes on the day after its bill's day, and may come three days later before it is missing."""


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """One booked entry, or one transaction of a batch of them.

    Attributes:
        amount_minor: Above zero for money that came in, whatever it reverses.
        booked, value: The days of booking and of value.
        number: The bank's own reference; empty if it gives none.
        references: What the parties have named it, such as the end-to-end id.
        text: The remittance information and whatever else the bank writes.
        line: Its place in the file, from 1.
    """

    amount_minor: int
    booked: date
    value: date
    number: str
    references: tuple[str, ...]
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """The account whose statement is read: its number and its currency."""

    number: str
    currency: str

    def check(self, number: str, currency: str | None) -> None:
        """Refuse a statement of another account.

        Errors:
            BillRefused.
        """
        names = (_plain(number), _plain(number).removesuffix(self.currency), _plain(number.rpartition("/")[2]))
        if _plain(self.number) not in names:
            raise BillRefused("the file has a statement of another account")
        if currency is not None and currency != self.currency:
            raise BillRefused(f"the file has a statement in {currency}, and the account is kept in {self.currency}")


@dataclass(slots=True)
class Proof:
    """The running proof of a file: what was there, and what came, is what is there.

    Attributes:
        balance: Of the statement or page before, if it gave one.
    """

    currency: str
    balance: int | None = None
    entries: int = 0

    def open(self, opening: int | None, *, is_continued: bool) -> None:
        """Begin a statement or a page of one.

        Args:
            is_continued: Whether the page before has not given a closing balance, or is of the same statement.
        """
        if is_continued and self.balance is not None:
            if opening is not None and opening != self.balance + self.entries:
                raise BillRefused("a page does not begin with the balance that the page before ends with")
            return
        self.balance, self.entries = opening, 0

    def close(self, closing: int) -> None:
        """End a statement or a page with its closing balance.

        Errors:
            BillRefused: it is not the opening balance and the entries.
        """
        if self.balance is None:
            raise BillRefused("a statement has a closing balance, and no opening balance")
        if self.balance + self.entries != closing:
            expected = money.to_major(self.balance + self.entries, self.currency)
            raise BillRefused(
                f"the opening balance and the entries make {expected} {self.currency}, "
                f"and the closing balance is {money.to_major(closing, self.currency)}"
            )
        self.balance, self.entries = closing, 0


def minor(text: str | Decimal, currency: str) -> int:
    """Return an amount of a statement in minor units. It may have more decimals than the currency, all of them zero.

    Errors:
        BillRefused: it is no amount in this currency.
    """
    try:
        exact = Decimal(text)
        units = exact.scaleb(money.currency(currency).exponent)
        if not exact.is_finite() or units != units.to_integral_value() or abs(units) > money.AMOUNT_MINOR_MAX:
            raise BillRefused(f"{text} is no amount in {currency}")
        return int(units)
    except (InvalidOperation, InvalidParameter) as error:
        raise BillRefused(f"{text} is no amount in {currency}") from error


def one_line(parts: Iterable[str | None]) -> str:
    """Return texts as one line, without repetitions."""
    seen = dict.fromkeys(" ".join(part.split()) for part in parts if part)
    return " ".join(text for text in seen if text)


def _plain(number: str) -> str:
    return "".join(number.split()).upper()
