"""The invented business: its channel accounts, the differences planted in it, and what a generated folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from hutong.reconciliation.model import DayWindow

_BEIJING = timedelta(hours=8)
_PAYMENTS = (
    "missing", "fee", "unexpected", "pending", "settled", "twin", "failed", "paid", "cross_late", "ordered",
    "fee_by_one", "duplicate", "cross_early", "double_posting", "quiet", "restated",
)  # fmt: skip
_REFUNDS = (
    "unexpected", "settled", "missing", "fee", "second", "pending", "second_missing", "duplicate", "twin",
    "cross_late", "cross_early", "quiet",
)  # fmt: skip
_WITHOUT_SUMS = tuple(plant for plant in _PAYMENTS if plant not in ("paid", "ordered", "fee", "fee_by_one", "restated"))
DISPUTES = ("missing", "unexpected", "split")

MENDED = ("missing", "unexpected", "settled", "fee", "duplicate")
"""What a corrected bill puts right, in half of the places."""


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """One invented channel account.

    Attributes:
        account: The public id, which is also the folder's name.
        layout: The layout that reads its bills.
        number: The merchant's number, which the bills name.
        channel_no: The channel's own number of a row, as SQL over ours.
        fee_ppm, fee_fixed: The price in millionths of the settled sum and in minor units.
        returns_fees: Whether a refund gives the fee back.
        expects_fees: Whether the books know the fee before the bill comes.
    """

    account: str
    channel: str
    layout: str
    number: str
    currency: str
    other_currency: str
    window: DayWindow
    channel_no: str
    fee_ppm: int
    fee_fixed: int = 0
    returns_fees: bool = True
    expects_fees: bool = True
    has_discounts: bool = True
    has_disputes: bool = False
    payments: tuple[str, ...] = _PAYMENTS
    refunds: tuple[str, ...] = _REFUNDS

    def starts_at(self, day: date) -> datetime:
        """Return the instant at which a day of this account begins."""
        return datetime.combine(day, time(), UTC) - self.window.zone_offset + self.window.cut


ACCOUNTS: Mapping[str, AccountPlan] = {
    plan.channel: plan
    for plan in (
        AccountPlan(
            "acc_01wechat000000000000000000", "wechat", "wechat_trade", "1900000109", "CNY", "HKD",
            DayWindow(_BEIJING),
            "CASE kind WHEN 'payment' THEN '4200' || lpad(source_number, 24, '0') "
            "ELSE '5030' || lpad(number, 24, '0') END",
            6_000, payments=(*_PAYMENTS, "currency"),
        ),
        AccountPlan(
            "acc_01a11pay000000000000000000", "alipay", "alipay_business_detail", "2088102146225135", "CNY", "CNY",
            DayWindow(_BEIJING), "'20260801' || source_number", 6_000,
        ),
        AccountPlan(
            "acc_01vn10npay0000000000000000", "unionpay", "unionpay_zm", "777290058110048", "CNY", "CNY",
            DayWindow(_BEIJING, cut=timedelta(hours=-1)), "'8' || number", 6_000, returns_fees=False,
        ),
        AccountPlan(
            "acc_01str1pe000000000000000000", "stripe", "stripe_balance", "", "USD", "EUR",
            DayWindow(timedelta(0)),
            "CASE kind WHEN 'payment' THEN 'pi_' || lpad(source_number, 24, '0') "
            "WHEN 'refund' THEN 're_' || lpad(number, 24, '0') ELSE 'dp_' || lpad(number, 24, '0') END",
            29_000, fee_fixed=30, returns_fees=False, expects_fees=False, has_discounts=False, has_disputes=True,
            payments=(*_WITHOUT_SUMS, "currency"), refunds=tuple(plant for plant in _REFUNDS if plant != "fee"),
        ),
    )
}  # fmt: skip
"""By channel: days that end at midnight in Beijing, at 23:00 there, and at midnight in UTC."""


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A bill or a bank statement of the folder.

    Attributes:
        path: Relative to the generated folder.
        day: The day that it is of.
        comes_on: The day whose run has it for the first time: a day later for a late bill.
        restates: Whether it corrects an earlier file of that day.
    """

    path: str
    account: str
    layout: str
    day: date
    comes_on: date
    rows: int
    restates: bool = False

    def document(self) -> dict[str, Any]:
        """Return the file as JSON."""
        return {
            "path": self.path,
            "account": self.account,
            "layout": self.layout,
            "day": self.day.isoformat(),
            "comes_on": self.comes_on.isoformat(),
            "rows": self.rows,
            "restates": self.restates,
        }


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """What was generated.

    Attributes:
        folder: Holds `key.json`, which is this, `key.parquet`, the differences, and a run folder per account and day.
        files, statements: The bills, and the bank statements.
        counts: Planted differences by class and column.
    """

    folder: Path
    rows: int
    seed: int
    days: tuple[date, ...]
    accounts: tuple[AccountPlan, ...]
    files: tuple[GeneratedFile, ...]
    statements: tuple[GeneratedFile, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the key as JSON."""
        return {
            "rows": self.rows,
            "seed": self.seed,
            "days": [day.isoformat() for day in self.days],
            "accounts": [
                {
                    "account": plan.account,
                    "channel": plan.channel,
                    "layout": plan.layout,
                    "number": plan.number,
                    "currency": plan.currency,
                    "zone_offset_s": plan.window.zone_offset // timedelta(seconds=1),
                    "cut_s": plan.window.cut // timedelta(seconds=1),
                    "margin_s": plan.window.margin // timedelta(seconds=1),
                    "rolls": plan.window.rolls,
                }
                for plan in self.accounts
            ],
            "files": [file.document() for file in self.files],
            "statements": [file.document() for file in self.statements],
            "counts": dict(self.counts),
        }
