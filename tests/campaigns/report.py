"""The one report of a campaign, as JSON and as Markdown."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from campaigns.judge import Findings
from campaigns.promises import Call, Log

RULE_OF_THREE = 3
"""No failure in n trials: with 95 % confidence the rate is below 3/n."""
_SLOWEST = 20


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault: its kind, and when it began by the monotonic clock."""

    kind: str
    at: float
    work_s: float | None = None


@dataclass(slots=True)
class Report:
    """A campaign in figures; times in seconds if not named otherwise."""

    campaign: str
    command: str
    date: str
    seed: int
    rounds: int
    seconds: float
    faults: dict[str, int]
    promises: dict[str, int]
    kept: dict[str, int]
    refusals: dict[str, int]
    successes: dict[str, int]
    minor_units: dict[str, int]
    snapshots: int
    webhooks: int
    outcomes: dict[str, int]
    p99_ms: dict[str, float]
    recovery_s: dict[str, dict[str, float]]
    work_resumed_s: dict[str, dict[str, float]]
    keys_in_flight: dict[str, float]
    slowest: list[dict[str, Any]]
    rest_s: float | None
    failures: int
    rate_below: float | None
    broken: dict[str, Any]
    evidence: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def markdown(self) -> str:
        """Return the report as people read it."""
        rows = {
            "faults": f"{self.rounds}: " + ", ".join(f"{name} {count}" for name, count in self.faults.items()),
            "promises made → kept": ", ".join(
                f"{name} {count} → {self.kept.get(name, 0)}" for name, count in self.promises.items()
            ),
            "successes at channels": ", ".join(f"{name} {count}" for name, count in self.successes.items()),
            "money, minor units": ", ".join(f"{name} {count:,}" for name, count in self.minor_units.items()),
            "p99 of money requests, ms": ", ".join(f"{name} {value:,.0f}" for name, value in self.p99_ms.items()),
            "until the last disturbed request was answered, s": _spread(self.recovery_s),
            "until webhooks went on, s": _spread(self.work_resumed_s),
            "at rest after, s": str(self.rest_s),
            "failures": f"{self.failures} in {self.rounds} faults"
            + (f"; rate below {self.rate_below:.2%}" if self.rate_below is not None else ""),
            "seed, date, machine": f"{self.seed}, {self.date}, {self.machine}",
        }
        lines = [f"### {self.campaign}", "", f"`{self.command}`", "", "| | |", "|---|---|"]
        lines += [f"| {name} | {text} |" for name, text in rows.items()]
        lines += [f"| **broken: {name}** | {found} |" for name, found in self.broken.items()]
        return "\n".join(lines)


def make_report(
    *,
    campaign: str,
    command: str,
    date: str,
    seed: int,
    seconds: float,
    injected: Sequence[Injected],
    log: Log,
    findings: Findings,
    quiet_until: float,
    quiet_from: float,
    versions: dict[str, str],
    machine: dict[str, Any],
) -> Report:
    """Count everything.

    Args:
        quiet_until, quiet_from: When the first fault began, and when the last one was over.
    """
    money = [call for call in log.calls if call.what.startswith("POST") and call.answered_at]
    kept = dict(findings.kept)
    return Report(
        campaign=campaign,
        command=command,
        date=date,
        seed=seed,
        rounds=len(injected),
        seconds=round(seconds, 1),
        faults=dict(Counter(fault.kind for fault in injected)),
        promises=dict(Counter(promise.what for promise in log.promises)),
        kept={what: kept.get(what, 0) for what in ("payment", "attempt", "capture", "refund", "close")},
        refusals=dict(Counter(log.refusals.values())),
        successes=dict(findings.successes),
        minor_units={name[12:]: count for name, count in kept.items() if name.startswith("minor units")},
        snapshots=kept.get("snapshots of the books", 0),
        webhooks=kept.get("webhooks", 0),
        outcomes={str(status): count for status, count in sorted(log.statuses().items())},
        p99_ms={
            "before": _p99(call for call in money if call.sent_at < quiet_until),
            "during": _p99(call for call in money if quiet_until <= call.sent_at < quiet_from),
            "after": _p99(call for call in money if call.sent_at >= quiet_from),
        },
        recovery_s=_recoveries(injected, [call for call in log.calls if not call.held_by_key]),
        work_resumed_s=_by_kind([(fault.kind, fault.work_s) for fault in injected if fault.work_s is not None]),
        keys_in_flight={
            "requests": sum(call.held_by_key for call in log.calls),
            "longest_s": round(max((call.seconds for call in log.calls if call.held_by_key), default=0.0), 1),
        },
        slowest=_slowest(injected, log.calls),
        rest_s=findings.rest_s,
        failures=sum(map(len, findings.broken.values())),
        rate_below=min(1.0, RULE_OF_THREE / len(injected)) if injected and not findings.broken else None,
        broken=findings.shown(),
        evidence=findings.evidence,
        versions=versions,
        machine=machine,
    )


def _recoveries(injected: Sequence[Injected], calls: Sequence[Call]) -> dict[str, dict[str, float]]:
    """Measure for each fault the time until the last request that it disturbed was answered."""
    starts = [fault.at for fault in injected]
    last = [0.0] * len(starts)
    for call in calls:
        if call.is_disturbed and call.answered_at:
            index = bisect_right(starts, call.failed_at or call.answered_at) - 1
            if index >= 0:
                last[index] = max(last[index], call.answered_at - starts[index])
    return _by_kind([(fault.kind, seconds) for fault, seconds in zip(injected, last, strict=True)])


def _slowest(injected: Sequence[Injected], calls: Sequence[Call]) -> list[dict[str, Any]]:
    """Tell of the requests that waited longest: what came of each attempt, and the fault before the first one."""
    starts = [fault.at for fault in injected]
    found = []
    for call in sorted(calls, key=lambda call: -call.seconds)[:_SLOWEST]:
        index = bisect_right(starts, call.sent_at) - 1
        fault = (
            {"fault": injected[index].kind, "sent_after_s": round(call.sent_at - starts[index], 2)}
            if index >= 0
            else {}
        )
        found.append({"request": call.what, "seconds": round(call.seconds, 2), "statuses": call.statuses, **fault})
    return found


def _by_kind(measured: Sequence[tuple[str, float]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for kind in sorted({kind for kind, _ in measured}):
        values = sorted(value for each, value in measured if each == kind)
        found[kind] = {
            "p50": round(statistics.median(values), 2),
            "p95": round(values[min(len(values) * 95 // 100, len(values) - 1)], 2),
            "max": round(values[-1], 2),
        }
    return found


def _p99(calls: Iterable[Call]) -> float:
    values = sorted(call.seconds for call in calls)
    return round(1000 * values[min(len(values) * 99 // 100, len(values) - 1)], 1) if values else 0.0


def _spread(measured: dict[str, dict[str, float]]) -> str:
    return "; ".join(f"{kind} {found['p50']} / {found['p95']} / {found['max']}" for kind, found in measured.items())
