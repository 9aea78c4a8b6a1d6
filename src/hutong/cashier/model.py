"""The cashier's view of a payment, and the protocol of the life cycle behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from hutong.channels import Device, PayerAction


class CheckoutStatus(StrEnum):
    """The status of the payment in the life cycle."""

    REQUIRES_PAYMENT = "requires_payment"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class CheckoutView:
    """Everything that a payer may know about one payment.

    Attributes:
        merchant_name, subject: Texts of the merchant; never trusted, any text at all.
        methods: The methods offered on this device, one per wallet, in the order in which they are shown.
        wallets: The wallet of each method, by the method's name, and of the running attempt's.
        open_in_browser: Whether the phone's own browser could offer a wallet that this wallet's browser cannot.
        method: The method of the running attempt, or None.
        action: The payer's action in the running attempt, or None while there is none to show.
        action_expires_at: Until when the action works.
        bridge: What the page hands to the wallet in whose browser it runs; None anywhere else.
        failure: Why the last attempt failed: our own text for the payer by language, "en" and "zh", possibly none;
            None if it did not fail. The channel's message is for the merchant.
        declined: Whether it failed because the payer's bank or wallet refused.
        return_url: The merchant's address for the payer to return to after paying. Shown as a link only if it is http
            or https, like each address here.
        cancel_url: The merchant's address for a payer who goes back without having paid.
        finished_at, finished_method: When the payment succeeded or was closed, and the method that it was paid by, or
            that was tried last.
        close_reason: Why it was closed: "merchant", "expired" or "operator".
        logo: The hash of the merchant's logo, under which it is served; None without one.
        color: The merchant's color as "#rrggbb"; None takes the page's own.
        sandbox_payer_url: In the sandbox, where a developer plays the payer; None otherwise.
        server_time: The instant at which this view was true.
    """

    payment_id: UUID
    merchant_name: str
    subject: str
    amount_minor: int
    currency: str
    status: CheckoutStatus
    expires_at: datetime
    methods: tuple[str, ...]
    server_time: datetime
    method: str | None = None
    action: PayerAction | None = None
    action_expires_at: datetime | None = None
    bridge: Mapping[str, Any] | None = None
    wallets: Mapping[str, str] = field(default_factory=dict)
    open_in_browser: bool = False
    failure: Mapping[str, str] | None = None
    declined: bool = False
    merchant_order_no: str = ""
    return_url: str | None = None
    cancel_url: str | None = None
    finished_at: datetime | None = None
    finished_method: str | None = None
    close_reason: str | None = None
    logo: str | None = None
    color: str | None = None
    sandbox_payer_url: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityAnswer:
    """What a channel has added to the address by which a payer's browser comes back, and what was in it before."""

    method: str
    account: str
    code: str
    state: str


class Checkout(Protocol):
    """The life cycle as the cashier uses it. Every call names the payment and proves the right to see it."""

    async def view(self, payment_id: UUID, token: str, *, device: Device) -> CheckoutView:
        """Return the current view of a payment on a device.

        Errors:
            NotFound: there is no such payment, or the token is another one (compared in constant time).
        """
        ...

    async def pay(
        self, payment_id: UUID, token: str, method: str, *, payer_ip: str | None, device: Device
    ) -> CheckoutView:
        """Start an attempt by this method.

        Repeat:
            While an attempt by this method runs and can be paid, it is returned and nothing is started, however many
            calls arrive at once.

        Errors:
            NotFound: as for `view`.
            InvalidParameter: the method is not offered for this payment.
            Conflict: the payment can no longer be paid, or an attempt in doubt forbids another one now.
            Unavailable: nothing was started.
        """
        ...

    async def identify_url(self, payment_id: UUID, token: str, method: str) -> str | None:
        """Return where the payer's browser goes first, so that the channel tells who they are; None if it need not.

        The channel sends the browser back to the address `/pay/{id}/identified`.

        Errors:
            NotFound: as for `view`.
        """
        ...

    async def pay_identified(
        self, payment_id: UUID, token: str, answer: IdentityAnswer, *, payer_ip: str | None
    ) -> None:
        """Start an attempt by a payer whom the channel has identified.

        Repeat, Errors:
            As for `pay`; Unavailable also if the channel does not tell who the payer is.
        """
        ...
