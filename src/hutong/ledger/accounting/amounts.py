"""Amounts of the books as people read them: with their currency, in major units, on the normal side of a subject."""

from __future__ import annotations

from hutong import money
from hutong.errors import InvalidParameter
from hutong.ledger.accounting.chart import NormalSide, normal_side


def currency_of(ledger: int) -> str:
    """Return the code of the currency that a ledger keeps; empty if it keeps none."""
    try:
        return money.currency_of_ledger(ledger).code
    except InvalidParameter:
        return ""


def in_major_units(amount_minor: int, ledger: int) -> str:
    """Format an amount in the major units of the currency that a ledger keeps; in minor units without one."""
    currency = currency_of(ledger)
    return money.to_major(amount_minor, currency) if currency else str(amount_minor)


def on_normal_side(code: int, debits: int, credits: int) -> int:  # noqa: A002 - the ledger's term
    """Return a balance on the normal side of its subject."""
    return int(credits - debits if normal_side(code) is NormalSide.CREDIT else debits - credits)
