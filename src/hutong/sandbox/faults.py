"""The faults of a simulated channel, on request."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class NotifyFaults:
    """Faults of notifications.

    Attributes:
        delay_ms: The wait before the first notification.
        copies: The number of copies sent at once, regardless of the answer.
        lose: The number of first deliveries that are lost on the way.
        reorder: Hold the first delivery until the channel has sent a later notification.
        amount_delta_minor: Added to the amount in the notification.
        named_only: Name the subject without stating it, where the channel has such messages.
        other_account: Send it as about another account, where the channel's messages say that.
    """

    delay_ms: int = 0
    copies: int = 1
    lose: int = 0
    reorder: bool = False
    amount_delta_minor: int = 0
    named_only: bool = False
    other_account: bool = False


KINDS = {
    "dropped": "nothing is done and the connection breaks",
    "reply_lost": "the work is done and the connection breaks",
    "paid_reply_lost": "the order is placed and paid, and the connection breaks",
    "error": "nothing is done and the given status and code are answered",
    "slow": "the work is done after `ms`",
    "unsigned": "the work is done and the answer is not signed",
    "bad_signature": "the work is done and the answer is signed wrongly",
    "stale": "the work is done and the answer is signed with a time of an hour ago",
    "malformed": "the work is done and the answer is signed, but cannot be read",
    "too_long": "the work is done and the answer is two megabytes long",
    "other_order": "the work is done and the answer is about another order",
    "refund_fails_after_accept": "the refund is accepted, and fails afterwards",
}


@dataclass(slots=True)
class CallFault:
    """A fault of the next calls of an interface.

    Attributes:
        interface: One of the simulator's `interfaces`.
        kind: See `KINDS`.
        match: Only calls whose number or description contains this text.
        times: The number of calls affected.
        status, code: For kind "error", the answer. A channel that always answers 200 ignores the status.
        ms: For kind "slow", the delay.
    """

    interface: str
    kind: str
    match: str = ""
    times: int = 1
    status: int = 500
    code: str = "SYSTEM_ERROR"
    ms: int = 0


@dataclass(slots=True)
class Faults:
    """All active faults, and the delays of payers and banks.

    Attributes:
        latency_ms: The delay of every answer.
        percent: The percentage of calls that fail with the channel's own system error and have no effect.
        maintenance_until: Until then every call fails with the channel's own system error and has no effect.
        auto_pay_ms: The time after which the payer of a placed order pays automatically; None: only on request.
        money_out_ms: The time after which an accepted refund or payout succeeds automatically; None: only on request.
        strict: Whether requests are refused that break the channel's published rules. False refuses only requests
            that cannot be fulfilled, for experiments.
    """

    latency_ms: int = 0
    percent: int = 0
    maintenance_until: datetime | None = None
    auto_pay_ms: int | None = None
    money_out_ms: int | None = 0
    strict: bool = True
    notify: NotifyFaults = field(default_factory=NotifyFaults)
    calls: list[CallFault] = field(default_factory=list)
    _dice: random.Random = field(default_factory=lambda: random.Random(0), repr=False)  # noqa: S311 - a fault, no secret

    def take(self, interface: str, *texts: str) -> CallFault | None:
        """Return the fault of this call, if any, and count it as used once."""
        for fault in self.calls:
            if fault.interface == interface and (not fault.match or any(fault.match in text for text in texts)):
                fault.times -= 1
                if fault.times <= 0:
                    self.calls.remove(fault)
                return fault
        return None

    def refuses(self, now: datetime) -> bool:
        """Return whether a call made now falls into the maintenance window or among the `percent`."""
        if self.maintenance_until is not None and now < self.maintenance_until:
            return True
        return self.percent > 0 and self._dice.randrange(100) < self.percent
