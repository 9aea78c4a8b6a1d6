"""What a payment must do, in plain Python without a database: the yardstick of the property tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from hutong.channels import ChannelState


@dataclass
class ModelAttempt:
    state: str = "created"
    surplus: bool = False

    @property
    def is_open(self) -> bool:
        return self.state in ("created", "submitted", "unknown")


@dataclass
class ModelPayment:
    """One payment; its verbs return what the world is told."""

    status: str = "requires_payment"
    close_requested: bool = False
    expired: bool = False
    attempts: list[ModelAttempt] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    keys: set[bytes] = field(default_factory=set)
    misfits: set[tuple[int, ChannelState, str]] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        return self.status in ("requires_payment", "processing")

    def report(self, number: int, state: ChannelState, *, wrong: str = "", key: bytes | None = None) -> str:
        attempt = self.attempts[number]
        if wrong:
            if (number, state, wrong) not in self.misfits:
                self.misfits.add((number, state, wrong))
                self.events.append("payment.exception_opened")
            return "mismatch"
        if key is not None and key in self.keys:
            return "replayed"
        if key is not None:
            self.keys.add(key)
        before = (attempt.state, self.status)
        if state is ChannelState.SUCCEEDED and attempt.state != "succeeded":
            counts = attempt.is_open and self.is_open
            attempt.state, attempt.surplus = "succeeded", not counts
            if counts:
                self.status = "succeeded"
            self.events.append("payment.succeeded" if counts else "payment.surplus_received")
        elif attempt.is_open:
            if state is ChannelState.FAILED:
                attempt.state = "failed"
                self.events.append("payment.attempt_failed")
            elif state is ChannelState.CLOSED:
                attempt.state = "closed"
            elif state in (ChannelState.PENDING, ChannelState.AUTHORIZED):
                attempt.state = "submitted"
            elif state in (ChannelState.UNKNOWN, ChannelState.NOT_FOUND) and attempt.state == "created":
                attempt.state = "unknown"
        self._settle()
        return "applied" if before != (attempt.state, self.status) else "unchanged"

    def start(self) -> str:
        if not self.is_open or self.close_requested or self.expired:
            return "not_payable"
        if any(attempt.is_open for attempt in self.attempts):
            return "running"
        self.attempts.append(ModelAttempt())
        self.status = "processing"
        return "started"

    def close(self) -> str:
        if not self.is_open:
            return f"already_{self.status}"
        self.close_requested = True
        self._settle()
        return "closing" if self.is_open else "closed"

    def expire(self) -> None:
        self.expired = True
        if self.is_open and not self.close_requested:
            self.close()

    def _settle(self) -> None:
        if self.is_open:
            if any(attempt.is_open for attempt in self.attempts):
                self.status = "processing"
            elif self.close_requested:
                self.status = "closed"
                self.events.append("payment.closed")
            else:
                self.status = "requires_payment"
