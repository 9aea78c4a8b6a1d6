"""What a payment's events mean in the books: each one a linked chain of transfers, all of it or none."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from uuid import UUID

from hutong import ledger, money
from hutong.payments.model import Attempt, Payment

CHANNEL_RECEIVABLE = 1101
MERCHANT_PENDING = 2001
SURPLUS_TO_REFUND = 2202
FEE_INCOME = 4001

PRODUCT = UUID(int=1)
"""The product whose fee income is booked; one for all until products differ."""

Opening = tuple[int, UUID, str]
"""Chart code, owner, currency: an account that must be open."""


class Code(IntEnum):
    """Why a transfer was made; the `code` of the ledger's transfers."""

    PAYMENT = 1
    FEE = 2
    SURPLUS = 3


def success(payment: Payment, attempt: Attempt) -> tuple[list[ledger.Transfer], list[Opening]]:
    """The chain that books a success: to the merchant with our fee, or to surplus.

    The attempt's id is the first transfer's id, so the ledger itself refuses to book a success twice.

    Returns:
        The transfers, and the accounts that they need.
    """
    receivable = (CHANNEL_RECEIVABLE, attempt.account_id, payment.currency)
    if attempt.surplus:
        surplus = (SURPLUS_TO_REFUND, attempt.account_id, payment.currency)
        return [_transfer(attempt.attempt_id.int, receivable, surplus, payment, attempt, Code.SURPLUS)], [
            receivable,
            surplus,
        ]
    pending = (MERCHANT_PENDING, payment.merchant_id, payment.currency)
    fee_minor = money.fee_minor(taken_minor(attempt), payment.fee_ppm)
    main = _transfer(attempt.attempt_id.int, receivable, pending, payment, attempt, Code.PAYMENT)
    if not fee_minor:
        return [main], [receivable, pending]
    income = (FEE_INCOME, PRODUCT, payment.currency)
    main.flags = ledger.TransferFlags.LINKED
    fee = _transfer(_fee_id(attempt), pending, income, payment, attempt, Code.FEE)
    fee.amount = fee_minor
    return [main, fee], [receivable, pending, income]


def _fee_id(attempt: Attempt) -> int:
    """The payment's own id: time-ordered, and as unique as the one success that counts."""
    return attempt.payment_id.int


def taken_minor(attempt: Attempt) -> int:
    """What a successful attempt took."""
    assert attempt.amount_captured_minor is not None, "a success says how much"
    return attempt.amount_captured_minor


def _transfer(
    identifier: int, debit: Opening, credit: Opening, payment: Payment, attempt: Attempt, code: Code
) -> ledger.Transfer:
    return ledger.Transfer(
        id=identifier,
        debit_account_id=ledger.account_id(*debit),
        credit_account_id=ledger.account_id(*credit),
        amount=taken_minor(attempt),
        ledger=money.currency(payment.currency).numeric,
        code=code,
        user_data_128=payment.payment_id.int,
    )


def distinct(openings: Iterable[Opening]) -> list[Opening]:
    """The accounts without repetition, in a fixed order."""
    return sorted(set(openings))
