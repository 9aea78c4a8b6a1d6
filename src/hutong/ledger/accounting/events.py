"""The accounting events: one table of codes, names and legs.

To add an event, give it a code that no event has had, a row in `EVENTS`, and its legs. Codes and legs already booked
lie in the journal for good: a row may gain legs, but its code keeps its meaning.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hutong.ledger.accounting import chart
from hutong.ledger.accounting.chart import AccountOwner
from hutong.ledger.model import TransferFlags


class EventCode(enum.IntEnum):
    """The reason for a transfer: the `code` of its row in the journal."""

    PAYMENT = 1
    FEE = 2
    SURPLUS = 3
    REFUND = 4
    FEE_RETURN = 5
    FUNDING_RETURN = 6
    SURPLUS_REFUND = 7
    LATE_REFUND = 8
    FUNDING = 9
    CHANNEL_COST = 10
    CHANNEL_SETTLEMENT = 11
    MERCHANT_SETTLEMENT = 12
    PAYOUT = 13
    MERCHANT_DISCOUNT = 14
    APPLICATION_FEE = 15
    REFUND_DIFFERENCE = 16
    DISPUTE = 17
    DISPUTE_RETURN = 18
    DISPUTE_LOSS = 19
    DISPUTE_FEE = 20
    DIFFERENCE = 30
    DIFFERENCE_END = 31
    WRITE_OFF = 32
    STANDING_ORDER = 60
    REVERSAL = 61
    MONTH_CLOSING = 70
    YEAR_CLOSING = 71
    MANUAL_ENTRY = 80
    MANUAL = 99


@dataclass(frozen=True, slots=True)
class Leg:
    """One transfer of an event.

    Attributes:
        name: Tells the legs of an event apart.
        debit, credit: Codes of the chart. Whose accounts they are, the chart says.
        amount: The amount that the leg moves, in English.
        flags: PENDING for money that is held first, and posted or voided later.
        credit_owner: The owner of the credited account, where it is not the one that the chart names.
    """

    name: str
    debit: int
    credit: int
    amount: str
    flags: TransferFlags = TransferFlags.NONE
    credit_owner: AccountOwner | None = None


@dataclass(frozen=True, slots=True)
class AccountingEvent:
    """One row of the table.

    Attributes:
        legs: Its transfers. An event without legs moves money between accounts that the caller names.
        booked: Whether anything books the event yet.
    """

    code: EventCode
    name_en: str
    name_zh: str
    legs: tuple[Leg, ...] = ()
    booked: bool = True

    @property
    def name(self) -> str:
        """The name in code and configuration: `surplus_refund`."""
        return self.code.name.lower()


_PENDING = TransferFlags.PENDING
_SENDER = AccountOwner.SENDING_ACCOUNT

EVENTS: dict[int, AccountingEvent] = {
    int(event.code): event
    for event in (
        AccountingEvent(
            EventCode.PAYMENT, "payment", "收款",
            (Leg("payment", chart.CHANNEL_RECEIVABLE, chart.MERCHANT_PENDING, "amount captured"),),
        ),
        AccountingEvent(
            EventCode.FEE, "merchant fee", "手续费",
            (Leg("fee", chart.MERCHANT_PENDING, chart.FEE_INCOME, "fee"),),
        ),
        AccountingEvent(
            EventCode.SURPLUS, "surplus: late or second success", "多收款",
            (Leg("surplus", chart.CHANNEL_RECEIVABLE, chart.SURPLUS_TO_REFUND, "amount captured"),),
        ),
        AccountingEvent(
            EventCode.REFUND, "refund", "退款",
            (
                Leg("merchant", chart.MERCHANT_PENDING, chart.REFUND_IN_TRANSIT, "refund less returned fee", _PENDING),
                Leg("out", chart.REFUND_IN_TRANSIT, chart.CHANNEL_RECEIVABLE, "refund", credit_owner=_SENDER),
                Leg("out_of_bank", chart.REFUND_IN_TRANSIT, chart.BANK_DEPOSITS, "refund paid by hand from the bank"),
            ),
        ),
        AccountingEvent(
            EventCode.FEE_RETURN, "fee returned with a refund", "手续费退还",
            (Leg("fee", chart.FEE_INCOME, chart.REFUND_IN_TRANSIT, "returned fee", _PENDING),),
        ),
        AccountingEvent(
            EventCode.FUNDING_RETURN, "discount funding returned with a refund", "优惠资金退还",
            (
                Leg("platform", chart.MERCHANT_PENDING, chart.MARKETING_COST, "platform's part", _PENDING),
                Leg("channel", chart.MERCHANT_PENDING, chart.CHANNEL_RECEIVABLE, "channel's part", _PENDING),
            ),
        ),
        AccountingEvent(
            EventCode.SURPLUS_REFUND, "surplus refunded", "多收款退还",
            (
                Leg("out", chart.SURPLUS_TO_REFUND, chart.CHANNEL_RECEIVABLE, "surplus", credit_owner=_SENDER),
                Leg("out_of_bank", chart.SURPLUS_TO_REFUND, chart.BANK_DEPOSITS, "surplus paid by hand from the bank"),
            ),
        ),
        AccountingEvent(
            EventCode.LATE_REFUND, "refund that succeeded after it had failed", "迟到退款",
            (Leg("late", chart.SUSPENSE, chart.CHANNEL_RECEIVABLE, "refund"),),
        ),
        AccountingEvent(
            EventCode.FUNDING, "discount funding", "优惠资金",
            (
                Leg("platform", chart.MARKETING_COST, chart.MERCHANT_PENDING, "platform's part"),
                Leg("channel", chart.CHANNEL_RECEIVABLE, chart.MERCHANT_PENDING, "channel's part"),
            ),
        ),
        AccountingEvent(
            EventCode.CHANNEL_COST, "channel cost", "渠道成本",
            (
                Leg("cost", chart.CHANNEL_COST, chart.CHANNEL_RECEIVABLE, "actual fee of the bill"),
                Leg("returned", chart.CHANNEL_RECEIVABLE, chart.CHANNEL_COST, "fee given back"),
            ),
        ),
        AccountingEvent(
            EventCode.CHANNEL_SETTLEMENT, "channel settled to the bank", "渠道结算到账",
            (
                Leg("net", chart.BANK_DEPOSITS, chart.CHANNEL_RECEIVABLE, "net amount that has arrived"),
                Leg("taken", chart.CHANNEL_RECEIVABLE, chart.BANK_DEPOSITS, "net amount that was taken"),
            ),
        ),
        AccountingEvent(
            EventCode.MERCHANT_SETTLEMENT, "settlement to the merchant's balance", "商户结算",
            (Leg("settled", chart.MERCHANT_PENDING, chart.MERCHANT_AVAILABLE, "statement amount"),), booked=False,
        ),
        AccountingEvent(
            EventCode.PAYOUT, "payout", "付款",
            (
                Leg("hold", chart.MERCHANT_AVAILABLE, chart.PAYOUT_IN_TRANSIT, "payout", _PENDING),
                Leg("out", chart.PAYOUT_IN_TRANSIT, chart.BANK_DEPOSITS, "payout"),
            ),
            booked=False,
        ),
        AccountingEvent(
            EventCode.MERCHANT_DISCOUNT, "channel's discount borne by the merchant", "商户承担的渠道优惠",
            (
                Leg("payment", chart.MERCHANT_PENDING, chart.CHANNEL_RECEIVABLE, "discount"),
                Leg("surplus", chart.SURPLUS_TO_REFUND, chart.CHANNEL_RECEIVABLE, "discount on a surplus"),
            ),
        ),
        AccountingEvent(
            EventCode.APPLICATION_FEE, "application fee withheld by the channel", "渠道代扣的平台费",
            (
                Leg("payment", chart.MERCHANT_PENDING, chart.CHANNEL_RECEIVABLE, "application fee"),
                Leg("surplus", chart.SURPLUS_TO_REFUND, chart.CHANNEL_RECEIVABLE, "application fee on a surplus"),
            ),
        ),
        AccountingEvent(
            EventCode.REFUND_DIFFERENCE, "refund of another settled part than was held", "退款结算差额",
            (
                Leg("less", chart.REFUND_IN_TRANSIT, chart.MERCHANT_PENDING, "held less what the refund has cost"),
                Leg("more", chart.SUSPENSE, chart.REFUND_IN_TRANSIT, "what the refund has cost less held"),
                Leg("surplus_more", chart.SUSPENSE, chart.SURPLUS_TO_REFUND, "cost of a surplus refund less owed"),
            ),
        ),
        AccountingEvent(
            EventCode.DISPUTE, "dispute", "争议扣款",
            (
                Leg("taken", chart.DISPUTED_AT_CHANNEL, chart.CHANNEL_RECEIVABLE, "taken by the channel"),
                Leg("held", chart.MERCHANT_PENDING, chart.DISPUTE_HELD, "taken and charged, held from the merchant"),
            ),
        ),
        AccountingEvent(
            EventCode.DISPUTE_RETURN, "dispute money returned", "争议款退回",
            (
                Leg("returned", chart.CHANNEL_RECEIVABLE, chart.DISPUTED_AT_CHANNEL, "given back by the channel"),
                Leg("released", chart.DISPUTE_HELD, chart.MERCHANT_PENDING, "given back to the merchant"),
            ),
        ),
        AccountingEvent(
            EventCode.DISPUTE_LOSS, "end of a dispute", "争议结案",
            (
                Leg("lost", chart.DISPUTE_HELD, chart.DISPUTED_AT_CHANNEL, "held and not given back"),
                Leg("reopened", chart.DISPUTED_AT_CHANNEL, chart.DISPUTE_HELD, "booked for good before"),
            ),
        ),
        AccountingEvent(
            EventCode.DISPUTE_FEE, "channel's fee for a dispute", "争议手续费",
            (
                Leg("charged", chart.DISPUTED_AT_CHANNEL, chart.CHANNEL_RECEIVABLE, "fee"),
                Leg("returned", chart.CHANNEL_RECEIVABLE, chart.DISPUTED_AT_CHANNEL, "fee given back"),
            ),
        ),
        AccountingEvent(
            EventCode.DIFFERENCE, "difference found by reconciliation", "对账差异挂账",
            (
                Leg("long", chart.CHANNEL_RECEIVABLE, chart.SUSPENSE, "received more than booked"),
                Leg("short", chart.SUSPENSE, chart.CHANNEL_RECEIVABLE, "received less than booked"),
                Leg("bank_long", chart.BANK_DEPOSITS, chart.SUSPENSE, "credit of the bank that nobody expects"),
                Leg("bank_short", chart.SUSPENSE, chart.BANK_DEPOSITS, "debit of the bank that nobody expects"),
            ),
        ),
        AccountingEvent(
            EventCode.DIFFERENCE_END, "difference explained", "对账差异销账",
            (
                Leg("long", chart.SUSPENSE, chart.CHANNEL_RECEIVABLE, "what was received more"),
                Leg("short", chart.CHANNEL_RECEIVABLE, chart.SUSPENSE, "what was received less"),
                Leg("bank_long", chart.SUSPENSE, chart.BANK_DEPOSITS, "credit of the bank, explained"),
                Leg("bank_short", chart.BANK_DEPOSITS, chart.SUSPENSE, "debit of the bank, explained"),
            ),
        ),
        AccountingEvent(
            EventCode.WRITE_OFF, "difference written off", "长短款核销",
            (
                Leg("long", chart.SUSPENSE, chart.RECONCILIATION_GAINS, "received more, and owed to nobody"),
                Leg("short", chart.RECONCILIATION_LOSSES, chart.SUSPENSE, "received less, and lost"),
                Leg("fee", chart.CHANNEL_COST, chart.SUSPENSE, "fee above the expected one, accepted"),
                Leg("fee_less", chart.SUSPENSE, chart.CHANNEL_COST, "fee below the expected one, accepted"),
            ),
        ),
        AccountingEvent(EventCode.STANDING_ORDER, "standing order", "自动归集"),
        AccountingEvent(EventCode.REVERSAL, "reversal", "冲正"),
        AccountingEvent(EventCode.MONTH_CLOSING, "closing of a month", "月结"),
        AccountingEvent(EventCode.YEAR_CLOSING, "closing of a year", "年结"),
        AccountingEvent(EventCode.MANUAL_ENTRY, "manual entry", "手工分录"),
        AccountingEvent(EventCode.MANUAL, "transfer by hand", "手工记账"),
    )
}  # fmt: skip
"""Every accounting event by its code. The posting, voiding or expiry of a hold carries the code of the hold. A reversal
has a code of its own, and keeps that of the transfer that it reverses in `user_data_32`."""
