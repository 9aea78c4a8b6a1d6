"""Capabilities of a channel, as data: read by the cashier, the router and the life cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone

from hutong.channels.device import Device
from hutong.channels.disputes import DisputeRule
from hutong.channels.model import ActionKind
from hutong.clock import BEIJING

_EVERYWHERE = frozenset(Device)
_DEVICES = {
    ActionKind.QR_CODE: frozenset({Device.DESKTOP}),
    ActionKind.REDIRECT: _EVERYWHERE,
    ActionKind.FORM: _EVERYWHERE,
}


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """One way to pay. Of a wallet's methods that work on a device, the channel names the best one first.

    Attributes:
        action: The payer's next step after submission; None where the channel decides at once or asks the payer
            itself.
        requires: The values that `PayRequest.payer` must hold.
        closable: Whether an unpaid order can be closed at the channel, so that another method may be offered.
        decided_within: How long a payment by the code that the payer shows may stay undecided before its order is
            reversed; less than a minute. None where an order waits for its payer until it expires.
        manual_capture: Whether `PayRequest.capture=False` is possible.
        currencies: Where it takes fewer than the channel; empty where it takes all of them.
        wallet: The brand by which payers know it, such as "wechat"; empty where it is the first part of its name.
        devices: On which devices a page can offer it; empty where only a merchant's own application or till can. None
            is what the action allows: a code on a computer, a page of the channel's everywhere.
        closes_unopened: Whether an order that no payer has opened yet can be closed as well.
        action_life: How long the payer's action works, where the order lives longer.
        identifies: Those of the required values that the channel itself tells of a browser which it is asked about.
    """

    action: ActionKind | None
    requires: frozenset[str] = frozenset()
    closable: bool = True
    decided_within: timedelta | None = None
    manual_capture: bool = False
    currencies: frozenset[str] = frozenset()
    wallet: str = ""
    devices: frozenset[Device] | None = None
    closes_unopened: bool = True
    action_life: timedelta | None = None
    identifies: frozenset[str] = frozenset()

    def wallet_of(self, name: str) -> str:
        """Return the brand by which payers know it.

        Args:
            name: The method's own name.
        """
        return self.wallet or name.partition("_")[0]

    @property
    def works_on(self) -> frozenset[Device]:
        """The devices on which a page can offer it."""
        if self.devices is not None:
            return self.devices
        return frozenset() if self.action is None else _DEVICES.get(self.action, frozenset())

    @property
    def stays_payable(self) -> bool:
        """Whether an order that no payer has opened stays payable until it expires."""
        return not (self.closable and self.closes_unopened)


@dataclass(frozen=True, slots=True)
class RefundRule:
    """Limits of refunds to the original payment method.

    Attributes:
        window: How long after the success the channel still refunds.
        count_max: Most refunds of one order.
        partial: Whether less than the whole may be given back.
        same_day: Whether a refund may be on the day of the payment.
        returns_fee: Whether the channel gives its fee back.
    """

    window: timedelta
    count_max: int = 50
    partial: bool = True
    same_day: bool = True
    returns_fee: bool = False


@dataclass(frozen=True, slots=True)
class BillRule:
    """The daily bill.

    Attributes:
        kinds: Such as "trade" and "fund_flow"; the first is the one to reconcile by.
        format: The layout's name, such as "wechat_trade".
        ready_hour: The hour of the next day, in `utc_offset`, from which the bill may be fetched.
        kept: How long the channel keeps the bill.
        cut: How long after midnight a bill's day ends: zero for midnight, minus one hour for 23:00 of the day before.
    """

    kinds: tuple[str, ...]
    format: str
    ready_hour: int
    utc_offset: timedelta
    kept: timedelta
    cut: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Everything that one channel can do.

    Attributes:
        channel: Its name, such as "wechat".
        methods: Payment methods by name, such as "wechat_native".
        currencies: ISO 4217 codes.
        amount_minor_min, amount_minor_max: Limits of one payment, both inclusive, in minor units of each currency.
        amount_minor_min_of: The least amount by currency, where it is above `amount_minor_min`.
        amount_minor_max_of: The largest amount by currency, where it is not `amount_minor_max`.
        expiry_min, expiry_max: The range in which an order's expiry may lie after its start.
        resubmits: Whether sending the same number again is safe and returns the same order.
        refund: Limits of refunds; None where there are none.
        same_day_void: Whether `void` cancels a whole payment on its own day, before it is settled.
        partial_capture: Whether less than the authorized amount may be captured.
        authorization_kept: How long an authorization lasts; None where there are none.
        institutions: The banks that the channel reaches, by code; empty where it reaches every bank.
        payout_methods: Ways to send money out; empty where there is none.
        payee_requires: The values that `PayoutRequest.payee` must hold.
        bill: The daily bill; None where there is none.
        disputes: How disputes are answered by interface; None where the channel has none, and operators enter them.
    """

    channel: str
    methods: Mapping[str, PaymentMethod]
    currencies: frozenset[str]
    amount_minor_min: int
    amount_minor_max: int
    expiry_min: timedelta
    expiry_max: timedelta
    resubmits: bool
    refund: RefundRule | None = None
    same_day_void: bool = False
    partial_capture: bool = False
    authorization_kept: timedelta | None = None
    institutions: frozenset[str] = frozenset()
    payout_methods: frozenset[str] = frozenset()
    payee_requires: frozenset[str] = frozenset()
    bill: BillRule | None = None
    amount_minor_min_of: Mapping[str, int] = field(default_factory=dict)
    amount_minor_max_of: Mapping[str, int] = field(default_factory=dict)
    disputes: DisputeRule | None = None

    def day_of(self, instant: datetime) -> date:
        """Return the channel's own day of an instant: that of its bills, or Beijing's where it has none."""
        zone = BEIJING if self.bill is None else timezone(self.bill.utc_offset)
        return instant.astimezone(zone).date()

    def takes(self, amount_minor: int, currency: str) -> bool:
        """Return whether one payment may be of this amount."""
        least = max(self.amount_minor_min, self.amount_minor_min_of.get(currency, 0))
        most = self.amount_minor_max_of.get(currency, self.amount_minor_max)
        return currency in self.currencies and least <= amount_minor <= most
