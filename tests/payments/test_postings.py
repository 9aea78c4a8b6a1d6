"""The transfers that payments and refunds book, to the last digit: their ids and codes lie in the books for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from hutong import ledger
from hutong.channels.sums import Sums
from hutong.ledger.accounting.chart import account_id
from hutong.ledger.accounting.postings import transfers_of
from hutong.ledger.model import AMOUNT_MAX
from hutong.payments import postings
from hutong.payments.refunds import postings as refund_postings
from hutong.payments.refunds.model import RefundKind, RefundMethod

GOLDEN = Path(__file__).parent / "booked_transfers.txt"
PAYMENT = UUID("01960000-0000-7000-8000-000000000001")
ATTEMPT = UUID("01960000-0000-7000-8000-000000000002")
HOLD = UUID("01960000-0000-7000-8000-000000000003")
MERCHANT = UUID("01960000-0000-7000-8000-00000000000a")
CHANNEL = UUID("01960000-0000-7000-8000-00000000000b")
PAYOUTS = UUID("01960000-0000-7000-8000-00000000000c")
OWNERS = {"merchant": MERCHANT, "channel": CHANNEL, "payouts": PAYOUTS, "platform": UUID(int=1)}
ACCOUNTS = {
    account_id(code, owner, "CNY"): f"{code}:{name}"
    for code in (1001, 1101, 2001, 2201, 2202, 2301, 4001, 5002)
    for name, owner in OWNERS.items()
}


def payment(fee_ppm: int = 6_000) -> Any:
    return SimpleNamespace(payment_id=PAYMENT, merchant_id=MERCHANT, currency="CNY", fee_ppm=fee_ppm)


def attempt(*, surplus: bool = False, sums: Sums | None = None) -> Any:
    return SimpleNamespace(
        attempt_id=ATTEMPT, payment_id=PAYMENT, account_id=CHANNEL, surplus=surplus, amount_captured_minor=10_000,
        sums=sums,
    )  # fmt: skip


def refund(**fields: Any) -> Any:
    defaults = {
        "refund_id": UUID(int=7), "hold_id": HOLD, "payment_id": PAYMENT, "merchant_id": MERCHANT,
        "account_id": CHANNEL, "payout_account_id": None, "currency": "CNY", "kind": RefundKind.REFUND,
        "route": RefundMethod.ORIGINAL, "amount_minor": 1_000, "fee_minor": 6, "platform_minor": 150,
        "channel_minor": 70,
    }  # fmt: skip
    made = {**defaults, **fields}
    parts = {"held_minor": made["amount_minor"], "payer_minor": made["amount_minor"]} | {
        name: made[name] for name in ("held_minor", "payer_minor") if name in made
    }
    by_payout = made["route"] is RefundMethod.PAYOUT
    return SimpleNamespace(**made | parts, cost_minor=parts["payer_minor" if by_payout else "held_minor"])


PAYOUT = {"route": RefundMethod.PAYOUT, "payout_account_id": PAYOUTS}
CASES: dict[str, Callable[[], ledger.Chain]] = {
    "payment with a fee": lambda: postings.success(payment(), attempt()),
    "payment without a fee": lambda: postings.success(payment(0), attempt()),
    "surplus": lambda: postings.success(payment(), attempt(surplus=True)),
    "payment with funding": lambda: postings.success(payment(), attempt(), platform_minor=1_501, channel_minor=700),
    "refund requested": lambda: refund_postings.reservation(refund()),
    "refund requested, of the payer's part only": lambda: refund_postings.reservation(
        refund(fee_minor=0, platform_minor=0, channel_minor=0)
    ),
    "refund requested, of the funders' part only": lambda: refund_postings.reservation(
        refund(amount_minor=0, fee_minor=0)
    ),
    "refund succeeded": lambda: refund_postings.success(refund()),
    "refund succeeded, of the payer's part only": lambda: refund_postings.success(
        refund(fee_minor=0, platform_minor=0, channel_minor=0)
    ),
    "refund succeeded, of the funders' part only": lambda: refund_postings.success(refund(amount_minor=0, fee_minor=0)),
    "refund succeeded, by payout": lambda: refund_postings.success(refund(**PAYOUT)),
    "refund succeeded, by hand": lambda: refund_postings.success(refund(route=RefundMethod.MANUAL)),
    "refund succeeded, by hand from the bank": lambda: refund_postings.success(
        refund(route=RefundMethod.MANUAL), from_bank=True
    ),
    "surplus refunded": lambda: refund_postings.success(refund(kind=RefundKind.SURPLUS)),
    "surplus refunded, by payout": lambda: refund_postings.success(refund(kind=RefundKind.SURPLUS, **PAYOUT)),
    "surplus refunded, by hand from the bank": lambda: refund_postings.success(
        refund(kind=RefundKind.SURPLUS, route=RefundMethod.MANUAL), from_bank=True
    ),
    "refund failed": lambda: refund_postings.failure(refund()),
    "surplus refund failed": lambda: refund_postings.failure(refund(kind=RefundKind.SURPLUS)),
    "payment with a discount of the merchant's and a fee": lambda: postings.success(
        payment(), attempt(sums=Sums.unnamed(10_000, 7_000, 8_500))
    ),
    "payment with an application fee": lambda: postings.success(
        payment(0), attempt(sums=Sums(10_000, 10_000, 9_000, withheld_minor=1_000))
    ),
    "surplus with a discount of the merchant's": lambda: postings.success(
        payment(), attempt(surplus=True, sums=Sums.unnamed(10_000, 7_000, 8_500))
    ),
    "refund requested, of which a part settles": lambda: refund_postings.reservation(
        refund(held_minor=850, platform_minor=0, channel_minor=0)
    ),
    "refund succeeded, of which a part settles": lambda: refund_postings.success(
        refund(held_minor=850, platform_minor=0, channel_minor=0)
    ),
    "refund succeeded, for less than was held": lambda: refund_postings.success(
        refund(held_minor=850, platform_minor=0, channel_minor=0), cost_minor=849
    ),
    "refund succeeded, for more than was held": lambda: refund_postings.success(
        refund(held_minor=850, platform_minor=0, channel_minor=0), cost_minor=851
    ),
    "refund succeeded, for nothing": lambda: refund_postings.success(
        refund(held_minor=850, platform_minor=0, channel_minor=0), cost_minor=0
    ),
    "refund succeeded, by payout of what the payer had paid": lambda: refund_postings.success(
        refund(held_minor=850, payer_minor=700, platform_minor=0, channel_minor=0, **PAYOUT)
    ),
    "surplus refunded, for more than was owed": lambda: refund_postings.success(
        refund(kind=RefundKind.SURPLUS, held_minor=850), cost_minor=851
    ),
    "refund succeeded after it had failed": lambda: refund_postings.late_success(refund(), refund().amount_minor),
}


def shown(transfer: ledger.Transfer) -> str:
    amount = "max" if transfer.amount == AMOUNT_MAX else transfer.amount
    assert (transfer.user_data_64, transfer.user_data_32, transfer.timeout, transfer.timestamp) == (0, 0, 0, 0)
    if transfer.pending_id:
        rest = (transfer.debit_account_id, transfer.credit_account_id, transfer.ledger, transfer.code)
        assert (*rest, transfer.user_data_128) == (0, 0, 0, 0, 0)
        return f"{UUID(int=transfer.id)} of hold {UUID(int=transfer.pending_id)} {amount} flags {transfer.flags:d}"
    assert (transfer.ledger, transfer.user_data_128) == (156, PAYMENT.int)
    sides = f"{ACCOUNTS[transfer.debit_account_id]} {ACCOUNTS[transfer.credit_account_id]}"
    return f"{UUID(int=transfer.id)} {sides} {amount} code {transfer.code:d} flags {transfer.flags:d}"


@pytest.mark.parametrize("case", CASES)
def test_transfers_are_those_that_have_always_been_booked(case: str) -> None:
    golden = {
        title: lines for title, *lines in (part.splitlines() for part in GOLDEN.read_text().strip().split("\n\n"))
    }
    assert sorted(golden) == sorted(CASES)
    transfers, openings = transfers_of(CASES[case]())
    assert [shown(transfer) for transfer in transfers] == golden[case]
    booked = {side for t in transfers if not t.pending_id for side in (t.debit_account_id, t.credit_account_id)}
    assert booked <= {account_id(*opening) for opening in openings}
