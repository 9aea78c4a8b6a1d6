"""The report of a routing drill: second by second, as one picture, and checked against the requirements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from hutong import ids
from hutong.demo.drill_run import CALM_S, DrillRun

LEAVE_WITHIN = 20
"""The most failures before a failing account must have been left."""
RETURN_WITHIN_S = 30.0
"""The most time after its recovery before an account has all of its traffic again: its last pause and the ramp."""
_BLOCKS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class DrillAttempt:
    """One attempt of a drill.

    Attributes:
        at: Seconds since the start.
        account: The account's name.
        refused: Whether the account refused it.
        probe: Whether it was made to find out whether the account is back.
    """

    at: float
    payment_id: UUID
    account: str
    refused: bool
    probe: bool


@dataclass(slots=True)
class Second:
    """One second of a drill.

    Attributes:
        `tries`, `refused`: By account, how many attempts began, and how many of these were refused.
        probes: How many attempts were made to find out whether an account is back.
        payments, succeeded: How many payments began, and how many of these have succeeded.
        states: The states of accounts that are not healthy, at the end of the second.
        events: The events of the second, as text.
    """

    number: int
    tries: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    probes: int = 0
    payments: int = 0
    succeeded: int = 0
    states: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def share(self, account: str) -> float:
        """Return the share of the accepted attempts that this account accepted."""
        accepted = sum(self.tries.values()) - sum(self.refused.values())
        return (self.tries.get(account, 0) - self.refused.get(account, 0)) / accepted if accepted else 0.0


@dataclass(slots=True)
class DrillReport:
    """The figures of a drill.

    Attributes:
        failures_to_leave: Attempts that the failing account refused before it was left.
        probes_lost: Attempts that it refused afterwards; each was followed by one at another account.
        share_before, share_after: Its share of the traffic before it failed and after it was back.
        began, ended: For `hutong routing replay`.
        broken: The requirements that were not met.
    """

    payments: int
    succeeded: int
    failed_over: int
    failures_to_leave: int
    seconds_to_leave: float
    probes_lost: int
    seconds_to_return: float
    returns: int
    share_before: float
    share_after: float
    began: str
    ended: str
    home: str
    timeline: list[Second]
    broken: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the report as one object, for programs."""
        return asdict(self)


def seconds(drill_run: DrillRun, attempts: Iterable[DrillAttempt]) -> list[Second]:
    """Return the seconds of a drill in their order.

    Args:
        attempts: In order of time.
    """
    by_number: dict[int, Second] = {}

    def second_of(at: float) -> Second:
        return by_number.setdefault(int(at), Second(int(at)))

    for attempt in attempts:
        second, account = second_of(attempt.at), attempt.account
        second.tries[account] = second.tries.get(account, 0) + 1
        second.probes += attempt.probe
        if attempt.refused:
            second.refused[account] = second.refused.get(account, 0) + 1
    for started, status in drill_run.payments.values():
        second_of(started).payments += 1
        second_of(started).succeeded += status == "succeeded"
    states: dict[str, str] = {}
    for number in range(max(by_number, default=-1) + 1):
        second = second_of(number)
        for event in drill_run.events:
            if int(event.at) == number:
                second.events.append(f"{event.account} {event.what}")
                states[event.account] = states.get(event.account, "") if event.what in _BY_THE_DRILL else event.what
        second.states = {account: state for account, state in states.items() if state not in ("", "healthy")}
    return [by_number[number] for number in sorted(by_number)]


_BY_THE_DRILL = ("failed", "recovered")


def report(drill_run: DrillRun, attempts: Sequence[DrillAttempt], *, home: str) -> DrillReport:
    """Return the figures of a drill, checked against the requirements."""
    failed, recovered = drill_run.when("failed") or 0.0, drill_run.when("recovered") or 0.0
    left = drill_run.when("open", after=failed)
    back = drill_run.when("healthy", after=recovered)
    refused = [attempt.at for attempt in attempts if attempt.refused and attempt.account == drill_run.failing]
    per_payment = Counter(attempt.payment_id for attempt in attempts)
    timeline = seconds(drill_run, attempts)
    before = [second.share(drill_run.failing) for second in timeline if 1 <= second.number < int(CALM_S)]
    after = [second.share(drill_run.failing) for second in timeline if back is not None and second.number > back]
    assert drill_run.ended is not None, "the run has ended"
    figures = DrillReport(
        payments=len(drill_run.payments),
        succeeded=sum(status == "succeeded" for _, status in drill_run.payments.values()),
        failed_over=sum(per_payment[ids.decode("pay", payment_id)] > 1 for payment_id in drill_run.payments),
        failures_to_leave=sum(left is None or at <= left for at in refused),
        seconds_to_leave=round((left or recovered) - failed, 2),
        probes_lost=sum(left is not None and at > left for at in refused),
        seconds_to_return=round((back or drill_run.at(drill_run.ended)) - recovered, 2),
        returns=sum(event.what == "healthy" and event.account == drill_run.failing for event in drill_run.events),
        share_before=_mean(before),
        share_after=_mean(after),
        began=drill_run.began.isoformat(),
        ended=drill_run.ended.isoformat(),
        home=home,
        timeline=timeline,
    )
    figures.broken = _broken(figures, is_left=left is not None)
    return figures


def _broken(figures: DrillReport, *, is_left: bool) -> list[str]:
    broken = []
    if figures.succeeded < figures.payments:
        broken.append(f"{figures.payments - figures.succeeded} payments did not succeed")
    if not is_left or figures.failures_to_leave > LEAVE_WITHIN:
        broken.append(f"the failing account was not left within {LEAVE_WITHIN} failures")
    if figures.seconds_to_return > RETURN_WITHIN_S:
        broken.append(f"the account was not back {RETURN_WITHIN_S:.0f} seconds after its recovery")
    if figures.returns != 1:
        broken.append(f"the account came back {figures.returns} times")
    if figures.share_after < 0.8 * figures.share_before:
        broken.append("the account did not get its traffic back")
    return broken


def picture(timeline: Sequence[Second], accounts: Iterable[str]) -> list[str]:
    """Return each account's share of the traffic and the success rate, with one column for each second."""
    rows = [(account, [second.share(account) for second in timeline]) for account in accounts]
    success = [second.succeeded / second.payments if second.payments else 1.0 for second in timeline]
    return [f"{name:<14} {''.join(_block(value) for value in row)}" for name, row in [*rows, ("success", success)]]


def line(second: Second, accounts: Iterable[str]) -> str:
    """Return one second as a line of text."""
    parts = []
    for account in accounts:
        refused = second.refused.get(account, 0)
        tries = f"{second.tries.get(account, 0)}{f' ({refused} refused)' if refused else ''}"
        parts.append(f"{account.partition('/')[2]:>6} {_block(second.share(account))} {tries:<16}")
    return f"{second.number:>4} s {''.join(parts)} {'; '.join(second.events)}".rstrip()


def _block(value: float) -> str:
    whole = round(value * (len(_BLOCKS) - 1))
    return _BLOCKS[max(whole, 1) if value > 0 else 0]


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0
