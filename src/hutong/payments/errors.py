"""What a payment may refuse."""

from hutong.errors import Conflict, InvalidParameter


class OrderNoReused(Conflict):
    """The merchant's order number stands for a payment with other content."""

    code = "order_no_reused"


class PaymentNotPayable(Conflict):
    """The payment has succeeded, is closed, or is past its end."""

    code = "payment_not_payable"


class AttemptInProgress(Conflict):
    """Another try could still take the money; it must end first."""

    code = "attempt_in_progress"


class PaymentAlreadySucceeded(Conflict):
    """The payment has succeeded and cannot be closed; refund it instead."""

    code = "payment_already_succeeded"


class NoRoute(InvalidParameter):
    """No channel account takes this method, currency and amount."""

    code = "no_route"


class KeyInFlight(Conflict):
    """A request with this idempotency key is being worked on right now."""

    code = "idempotency_key_in_flight"


class KeyReused(InvalidParameter):
    """The idempotency key stands for another request."""

    code = "idempotency_key_reused"


class NotificationMismatch(InvalidParameter):
    """The channel's message is genuine but is not about what we ordered. Nothing is booked; a person must look."""

    code = "notification_mismatch"


class NotificationReplayed(Conflict):
    """The very same message has been taken before."""

    code = "notification_replayed"


class PaymentNotCapturable(Conflict):
    """Nothing is authorized: the payer has not agreed yet, or it has been captured, given up or has lapsed."""

    code = "payment_not_capturable"


class CaptureInProgress(Conflict):
    """The authorized money is being taken; the channel's answer decides."""

    code = "capture_in_progress"


class CaptureExceedsAuthorized(InvalidParameter):
    """More than was authorized."""

    code = "capture_exceeds_authorized"


class PartialCaptureNotOffered(InvalidParameter):
    """The channel takes an authorization as a whole only."""

    code = "partial_capture_not_offered"


class ManualCaptureNotOffered(InvalidParameter):
    """The method takes the money at once and cannot reserve it."""

    code = "manual_capture_not_offered"


class PayerDetailMissing(InvalidParameter):
    """The method needs to know something of the payer; `param` names it."""

    code = "missing_parameter"
