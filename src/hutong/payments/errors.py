"""Refusals of payments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hutong.errors import Conflict, InvalidParameter


class OrderNoReused(Conflict):
    """The merchant's order number belongs to a payment with other content."""

    code = "order_no_reused"


class PaymentNotPayable(Conflict):
    """The payment has succeeded, is closed, or is past its expiry."""

    code = "payment_not_payable"


class AttemptInProgress(Conflict):
    """Another attempt could still take the money; it must end first.

    Attributes:
        method, wallet: By which it is paid.
        wait_s: In how many seconds its end can be proven at the latest; None where that is unknown.
    """

    code = "attempt_in_progress"

    def __init__(
        self, detail: str, *, method: str | None = None, wallet: str | None = None, wait_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.method = method
        self.wallet = wallet
        self.wait_s = wait_s

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"running": {"method": self.method, "wallet": self.wallet, "wait_s": self.wait_s}}


class PaymentAlreadySucceeded(Conflict):
    """The payment has succeeded and cannot be closed; refund it instead."""

    code = "payment_already_succeeded"


class NoRoute(InvalidParameter):
    """No channel account accepts this method, currency and amount."""

    code = "no_route"


class MethodUnknown(InvalidParameter):
    """There is no payment method of this name.

    Attributes:
        methods: The methods that exist.
    """

    code = "method_unknown"

    def __init__(self, detail: str, *, methods: Sequence[str]) -> None:
        super().__init__(detail, param="method")
        self.methods = tuple(methods)

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"methods": self.methods}


class NotificationMismatch(InvalidParameter):
    """The notification is genuine, but names another amount or currency. Nothing is booked; a person must look."""

    code = "notification_mismatch"


class NotificationReplayed(Conflict):
    """The same notification was taken before."""

    code = "notification_replayed"


class PaymentNotCapturable(Conflict):
    """Nothing is authorized: not yet, or it was captured, given up or has lapsed."""

    code = "payment_not_capturable"


class CaptureInProgress(Conflict):
    """The authorized money is being captured; the channel's answer decides."""

    code = "capture_in_progress"


class CaptureExceedsAuthorized(InvalidParameter):
    """The amount is larger than the authorized amount."""

    code = "capture_exceeds_authorized"


class PartialCaptureNotOffered(InvalidParameter):
    """The channel captures only the whole authorized amount."""

    code = "partial_capture_not_offered"


class ManualCaptureNotOffered(InvalidParameter):
    """The method takes the money at once and cannot authorize it first."""

    code = "manual_capture_not_offered"


class PayerDetailMissing(InvalidParameter):
    """The method requires a detail of the payer; `param` names it."""

    code = "missing_parameter"


NOTIFICATION_REFUSALS = (NotificationMismatch, NotificationReplayed)
"""The errors by which a genuine notification is refused."""
