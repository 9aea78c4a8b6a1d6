"""What the cashier asks of the life cycle behind it: frozen values and one protocol, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from hutong.channels import PayerAction


class CheckoutStatus(StrEnum):
    """Where the payment stands, as the life cycle says."""

    REQUIRES_PAYMENT = "requires_payment"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class CheckoutView:
    """Everything a payer may know about one payment.

    Attributes:
        merchant_name, subject: The merchant's own words; never trusted, any text at all.
        methods: Methods offered, in the order in which they are shown.
        method: The method of the running attempt, or None.
        action: What the payer has to do in the running attempt, or None while nothing can be shown.
        failure: Why the last attempt failed, in our own words for the payer by language, "en" and "zh", perhaps none;
            None if it did not fail. What the channel said is for the merchant.
        return_url: Where the merchant wants the payer back. Shown as a link only if it is http or https.
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
    failure: Mapping[str, str] | None = None
    return_url: str | None = None
    sandbox_payer_url: str | None = None


class Checkout(Protocol):
    """The life cycle as the cashier sees it. Every call names the payment and proves the right to see it."""

    async def view(self, payment_id: UUID, token: str) -> CheckoutView:
        """The payment as it stands.

        Errors:
            NotFound: no such payment, or the token is not the one of this payment (compared in constant time).
        """
        ...

    async def pay(self, payment_id: UUID, token: str, method: str, *, payer_ip: str | None) -> CheckoutView:
        """Start an attempt by this method.

        Repeat:
            While an attempt by this method runs, it is returned and nothing is started, however many calls come in
            at once.

        Errors:
            NotFound: as for `view`.
            InvalidParameter: the method is not offered for this payment.
            Conflict: the payment can no longer be paid, or an attempt in doubt forbids another one now.
            Unavailable: nothing was started.
        """
        ...
