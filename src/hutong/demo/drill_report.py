"""What a routing drill has shown: second by second, in one picture, and whether it was as it must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import orjson

from hutong import ids, payments
from hutong.demo.drill_run import CALM_S, Course

LEAVE_WITHIN = 20
"""Failures after which an account that does not work must have been left."""
RETURN_WITHIN_S = 30.0
"""How soon after its recovery an account must have all of its traffic again: its last pause and the ramp."""
_BLOCKS = " ▁▂▃▄▅▆▇█"
_REFUSED = payments.AttemptState.FAILED


@dataclass(slots=True)
class Second:
    """One second of it.

    Attributes:
        tries, refused: By account: how many tries began, and how many of these were refused.
        probes: How many tries were made to see whether an account is back.
        payments, succeeded: How many payments began, and how many of these have succeeded.
        states: The accounts that are not healthy, at its end.
        events: What happened, in words.
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
        """Which part of what went through did so by this account."""
        through = sum(self.tries.values()) - sum(self.refused.values())
        return (self.tries.get(account, 0) - self.refused.get(account, 0)) / through if through else 0.0


@dataclass(slots=True)
class DrillReport:
    """The drill in figures. `broken` names everything that was not as it must be.

    Attributes:
        failures_to_leave: Tries that the failing account refused before it was left.
        probes_lost: Tries that it refused afterwards: each went on elsewhere.
        share_before, share_after: Its part of the traffic before it failed and after it was back.
        began, ended: For `hutong routing replay`.
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
        """As one object, for programs."""
        return asdict(self)


def seconds(course: Course, accounts: Mapping[UUID, str], decided: Iterable[payments.LoggedDecision]) -> list[Second]:
    """What happened, second by second.

    Args:
        decided: The tries of the course, in their order.
    """
    found: dict[int, Second] = {}

    def of(at: float) -> Second:
        return found.setdefault(int(at), Second(int(at)))

    for one in decided:
        second, account = of(course.at(one.created_at)), accounts[one.account_id]
        second.tries[account] = second.tries.get(account, 0) + 1
        second.probes += one.record is not None and orjson.loads(one.record)["how"] == "probe"
        if one.state is _REFUSED:
            second.refused[account] = second.refused.get(account, 0) + 1
    for started, status in course.payments.values():
        of(started).payments += 1
        of(started).succeeded += status == "succeeded"
    states: dict[str, str] = {}
    for number in range(max(found, default=-1) + 1):
        second = of(number)
        for event in course.events:
            if int(event.at) == number:
                second.events.append(f"{event.account} {event.what}")
                states[event.account] = states.get(event.account, "") if event.what in _DONE else event.what
        second.states = {account: state for account, state in states.items() if state not in ("", "healthy")}
    return [found[number] for number in sorted(found)]


_DONE = ("failed", "recovered")


def report(
    course: Course, accounts: Mapping[UUID, str], decided: Sequence[payments.LoggedDecision], *, home: str
) -> DrillReport:
    """Look whether it was as it must be."""
    failed, recovered = course.when("failed") or 0.0, course.when("recovered") or 0.0
    left = course.when("open", after=failed)
    back = course.when("healthy", after=recovered)
    refused = [
        course.at(one.created_at)
        for one in decided
        if one.state is _REFUSED and accounts[one.account_id] == course.failing
    ]
    tries = Counter(one.payment_id for one in decided)
    timeline = seconds(course, accounts, decided)
    before = [second.share(course.failing) for second in timeline if 1 <= second.number < int(CALM_S)]
    after = [second.share(course.failing) for second in timeline if back is not None and second.number > back]
    assert course.ended is not None, "the course is over"
    made = DrillReport(
        payments=len(course.payments),
        succeeded=sum(status == "succeeded" for _, status in course.payments.values()),
        failed_over=sum(tries[ids.decode("pay", number)] > 1 for number in course.payments),
        failures_to_leave=sum(left is None or at <= left for at in refused),
        seconds_to_leave=round((left or recovered) - failed, 2),
        probes_lost=sum(left is not None and at > left for at in refused),
        seconds_to_return=round((back or course.at(course.ended)) - recovered, 2),
        returns=sum(event.what == "healthy" and event.account == course.failing for event in course.events),
        share_before=_mean(before),
        share_after=_mean(after),
        began=course.began.isoformat(),
        ended=course.ended.isoformat(),
        home=home,
        timeline=timeline,
    )
    made.broken = _broken(made, is_left=left is not None)
    return made


def _broken(made: DrillReport, *, is_left: bool) -> list[str]:
    found = []
    if made.succeeded < made.payments:
        found.append(f"{made.payments - made.succeeded} payments did not succeed")
    if not is_left or made.failures_to_leave > LEAVE_WITHIN:
        found.append(f"the failing account was not left within {LEAVE_WITHIN} failures")
    if made.seconds_to_return > RETURN_WITHIN_S:
        found.append(f"the account was not back {RETURN_WITHIN_S:.0f} seconds after its recovery")
    if made.returns != 1:
        found.append(f"the account came back {made.returns} times")
    if made.share_after < 0.8 * made.share_before:
        found.append("the account did not get its traffic back")
    return found


def picture(timeline: Sequence[Second], accounts: Iterable[str]) -> list[str]:
    """Each account's part of the traffic, and the success rate: a column a second."""
    rows = [(account, [second.share(account) for second in timeline]) for account in accounts]
    success = [second.succeeded / second.payments if second.payments else 1.0 for second in timeline]
    return [f"{name:<14} {''.join(_block(value) for value in row)}" for name, row in [*rows, ("success", success)]]


def line(second: Second, accounts: Iterable[str]) -> str:
    """One second in words."""
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
