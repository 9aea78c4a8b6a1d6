"""How a simulated channel misbehaves when told to."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class NotifyFaults:
    """How notifications misbehave.

    Attributes:
        delay_ms: Wait before the first one.
        copies: How many are sent at once, whatever is answered.
        lose: How many of the first sendings get lost on the way.
        reorder: Wait with the first one until the channel has sent a later one.
        amount_delta_minor: Added to the amount that the notification tells.
    """

    delay_ms: int = 0
    copies: int = 1
    lose: int = 0
    reorder: bool = False
    amount_delta_minor: int = 0


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
    "other_order": "the work is done and the answer tells of another order",
    "refund_fails_after_accept": "the refund is accepted, and fails afterwards",
}


@dataclass(slots=True)
class CallFault:
    """What the next calls of an interface meet.

    Attributes:
        interface: One of the simulator's `interfaces`.
        kind: See `KINDS`.
        match: Only calls whose number or description holds this text.
        times: For how many calls.
        status, code: For kind "error": what is answered. A channel that always answers 200 takes no notice of status.
        ms: For kind "slow".
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
    """All faults in force, and how eager payers and banks are.

    Attributes:
        latency_ms: Before every answer.
        percent: So many of a hundred calls are answered with the channel's own system error, undone.
        maintenance_until: Until then every call is answered with the channel's own system error, undone.
        auto_pay_ms: How long after placing an order its payer pays by himself; None: only when told to.
        money_out_ms: How long after it was accepted a refund or a payout succeeds by itself; None: only when told to.
    """

    latency_ms: int = 0
    percent: int = 0
    maintenance_until: datetime | None = None
    auto_pay_ms: int | None = None
    money_out_ms: int | None = 0
    notify: NotifyFaults = field(default_factory=NotifyFaults)
    calls: list[CallFault] = field(default_factory=list)
    _dice: random.Random = field(default_factory=lambda: random.Random(0), repr=False)  # noqa: S311 - a fault, no secret

    def take(self, interface: str, *texts: str) -> CallFault | None:
        """The fault that this call meets, used up once."""
        for fault in self.calls:
            if fault.interface == interface and (not fault.match or any(fault.match in text for text in texts)):
                fault.times -= 1
                if fault.times <= 0:
                    self.calls.remove(fault)
                return fault
        return None

    def refuses(self, now: datetime) -> bool:
        """Whether a call made now meets the maintenance window or is one of the `percent`."""
        if self.maintenance_until is not None and now < self.maintenance_until:
            return True
        return self.percent > 0 and self._dice.randrange(100) < self.percent
