"""`hutong bench routing`: Hutong's policy against static priority, round robin and an oracle, in a seeded world."""

from __future__ import annotations

import heapq
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from hutong.bench.routing_simulation import FEE_PPM, SUCCESS_VALUE_PPM, Arrival, Line, World, make_world
from hutong.routing import (
    Candidate,
    Decision,
    Price,
    Result,
    Router,
    RoutingPolicy,
    RoutingRequest,
    RoutingState,
    SelectionReason,
    State,
    Tier,
    read_rules,
)

_START = datetime(2026, 1, 5, tzinfo=UTC)
_DEAD = 0.10
_FAULTS = 0.05
_METHOD = "card"
_QUERY_EVERY_S = 20.0


@dataclass(slots=True)
class Score:
    """What a policy has reached in a world."""

    payments: int = 0
    succeeded: int = 0
    cost: float = 0.0
    turnover: float = 0.0
    regret: float = 0.0
    lost_to_dead: int = 0

    def add(self, world: World, arrival: Arrival, line: Line, best: float) -> bool:
        chance = world.chance(line, arrival.bank, arrival.at)
        good = arrival.luck < chance
        self.payments += 1
        self.regret += best - world.value(line, arrival)
        self.lost_to_dead += chance < _DEAD
        if good and not arrival.declined:
            self.succeeded += 1
            self.cost += line.cost(arrival.amount_minor)
            self.turnover += arrival.amount_minor
        return good


@dataclass(slots=True)
class Watch:
    """What is seen of one channel's outages while Hutong's policy runs."""

    to_leave: list[int] = field(default_factory=list)
    to_return_s: list[float] = field(default_factory=list)
    never_left: int = 0
    switches: int = 0
    changes: int = 0
    dead_probes: int = 0


Pick = Callable[[Arrival], Line]


def static_priority(world: World) -> Pick:
    """The cheapest first, whatever happens: what a priority list does."""
    order = sorted(world.lines, key=lambda line: line.cost(10_000))
    return lambda arrival: next(line for line in order if arrival.bank in line.banks)


def round_robin(world: World) -> Pick:
    """One after the other."""
    turn = 0

    def pick(arrival: Arrival) -> Line:
        nonlocal turn
        able = [line for line in world.lines if arrival.bank in line.banks]
        turn += 1
        return able[turn % len(able)]

    return pick


def oracle(world: World) -> Pick:
    """Knows every true chance."""
    return lambda arrival: max(
        (line for line in world.lines if arrival.bank in line.banks), key=lambda line: world.value(line, arrival)
    )


def play(world: World, pick: Pick) -> Score:
    """Run a policy that learns nothing."""
    score = Score()
    best = oracle(world)
    for arrival in world.arrivals:
        score.add(world, arrival, pick(arrival), world.value(best(arrival), arrival))
    return score


def play_hutong(world: World) -> tuple[Score, Watch, list[float]]:
    """Run the router as the platform does: results come back after the time that the channel takes.

    Returns:
        The score, what was seen of outages, and how long each decision took, in microseconds of this process's CPU.
    """
    rng = random.Random(world.seed + 1)  # noqa: S311 - a simulation
    router = Router(rng.random)
    names = {line.name: UUID(int=number + 1) for number, line in enumerate(world.lines)}
    lines = {names[line.name]: line for line in world.lines}
    router.configure([_candidate(line, names[line.name]) for line in world.lines], {"": _policy()})
    score, took = Score(), []
    best = oracle(world)
    seen = _Seen(world, router, names)
    coming: list[tuple[float, int, UUID, Result]] = []
    asked: dict[UUID, float] = {}
    for number, arrival in enumerate(world.arrivals):
        for account_id, _ in router.idle(_START + timedelta(seconds=arrival.at)):
            # The platform's query call to a channel without traffic.
            if arrival.at - asked.get(account_id, -_QUERY_EVERY_S) >= _QUERY_EVERY_S:
                asked[account_id] = arrival.at
                fault = rng.random() >= lines[account_id].success(arrival.at)
                told_at = _START + timedelta(seconds=arrival.at)
                probe = Result(told_at, UUID(int=number + 10**9), fault=fault, latency_ms=500, interface=_METHOD)
                router.learn(account_id, probe)
        while coming and coming[0][0] <= arrival.at:
            at, _, account_id, result = heapq.heappop(coming)
            router.learn(account_id, result)
            seen.look(at, lines[account_id])
        ask = RoutingRequest(
            method=_METHOD,
            amount_minor=arrival.amount_minor,
            currency="CNY",
            at=_START + timedelta(seconds=arrival.at),
            institution=f"bank-{arrival.bank}",
            fee_ppm=FEE_PPM,
        )
        seen.look_all(arrival.at)
        started = time.thread_time_ns()
        decision, _ = router.decide(ask)
        took.append((time.thread_time_ns() - started) / 1000)
        assert decision.chosen is not None, "the default takes what nothing else does"
        line = lines[decision.chosen]
        seen.sent(arrival, line, decision)
        good = score.add(world, arrival, line, world.value(best(arrival), arrival))
        slow = 5.0 if world.chance(line, arrival.bank, arrival.at) < _DEAD and arrival.patience < 0.3 else 1.5
        learnt = arrival.at + slow * (0.5 + arrival.patience)
        result = Result(
            _START + timedelta(seconds=learnt),
            UUID(int=number + 1000),
            fault=not good,
            latency_ms=int((learnt - arrival.at) * 1000),
            institution=ask.institution,
            interface=_METHOD,
        )
        heapq.heappush(coming, (learnt, number, decision.chosen, result))
    return score, seen.watch, took


def _candidate(line: Line, account_id: UUID) -> Candidate:
    return Candidate(
        account_id=account_id,
        name=line.name,
        channel=line.name,
        methods=frozenset({_METHOD}),
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=10**9,
        price=Price((Tier(0, line.ppm, line.fixed_minor),)),
        institutions=frozenset(f"bank-{bank}" for bank in line.banks),
    )


def _policy() -> RoutingPolicy:
    return RoutingPolicy(success_value_ppm=SUCCESS_VALUE_PPM, default="channel-1")


class _Seen:
    """Watches how the router follows the outages of whole channels."""

    def __init__(self, world: World, router: Router, names: dict[str, UUID]) -> None:
        self.watch = Watch(changes=2 * sum(len(line.outages) for line in world.lines))
        self._router = router
        self._names = names
        self._lines = world.lines
        self._state = {line.name: State.HEALTHY for line in world.lines}
        self._away = {line.name: False for line in world.lines}
        self._sent = {line.name: 0 for line in world.lines}
        self._left_dead: dict[str, bool] = {}

    def look_all(self, at: float) -> None:
        for line in self._lines:
            self.look(at, line)

    def look(self, at: float, line: Line) -> None:
        name = line.name
        health = self._router.health(self._names[name], _START + timedelta(seconds=at), _METHOD)
        dead = _dead(line, at)
        if health.state is State.OPEN and not self._away[name]:
            self._away[name] = True
            self._left_dead[name] = dead
            self.watch.switches += 1
            if dead:
                self.watch.to_leave.append(self._sent[name])
        elif health.share == 1.0 and self._away[name]:
            self._away[name] = False
            self.watch.switches += 1
            ended = max((outage.end for outage in line.outages if outage.end <= at), default=None)
            if ended is not None and self._left_dead[name]:
                self.watch.to_return_s.append(at - ended)
        if not dead:
            self._sent[name] = 0

    def sent(self, arrival: Arrival, line: Line, decision: Decision) -> None:
        """Count what went to a channel that was dead. What had nowhere else to go says nothing about leaving."""
        refused = next(each.refused for each in decision.verdicts if each.account_id == decision.chosen)
        by_choice = decision.how is SelectionReason.PROBE or not refused
        if _dead(line, arrival.at) and by_choice:
            if self._away[line.name]:
                self.watch.dead_probes += 1
            else:
                self._sent[line.name] += 1


def _dead(line: Line, at: float) -> bool:
    return any(outage.start <= at < outage.end for outage in line.outages)


def run(seed: int, *, payments: int) -> dict[str, Any]:
    """One world, all policies; the figures by name."""
    world = make_world(seed, payments=payments)
    ours, watch, _ = play_hutong(world)
    others = {
        "static_priority": play(world, static_priority(world)),
        "round_robin": play(world, round_robin(world)),
        "oracle": play(world, oracle(world)),
    }
    return {
        "seed": seed,
        "scores": {"hutong": ours} | others,
        "regret_ratio": ours.regret / others["static_priority"].regret,
        "failures_to_leave": max(watch.to_leave, default=0),
        "minutes_to_return": max(watch.to_return_s, default=0.0) / 60,
        "switches_per_change": watch.switches / watch.changes if watch.changes else 0.0,
        "dead_probe_share": watch.dead_probes / ours.payments,
    }


def run_bench_routing(*, seeds: list[int], payments: int, as_json: bool) -> int:
    """Play the worlds of some seeds and print what became of each policy.

    Returns:
        0; the figures say whether they are good enough.
    """
    took = sorted(decision_times())
    reports = [run(seed, payments=payments) for seed in seeds]
    figures = _summary(reports) | {"decision_p99_us": took[int(len(took) * 0.99)]}
    if as_json:
        print(json.dumps(figures))
        return 0
    console = Console()
    for report in reports:
        console.print(_table(report))
    console.print({name: value if isinstance(value, list) else round(value, 4) for name, value in figures.items()})
    return 0


_WORST = ("failures_to_leave", "minutes_to_return", "switches_per_change", "dead_probe_share")


def decision_times(*, decisions: int = 5_000) -> list[float]:
    """How long a decision takes among 20 candidates under 100 rules, its record written, results coming in between; in
    microseconds of this process's CPU."""
    rng = random.Random(1)  # noqa: S311 - a measurement
    lines = make_world(1, payments=0).lines
    candidates = [
        replace(_candidate(lines[number % len(lines)], UUID(int=number + 1)), name=f"account-{number}")
        for number in range(20)
    ]
    rules = read_rules(_hundred_rules(), accounts={candidate.name: candidate.channel for candidate in candidates})
    live = RoutingState(draw=rng.random)
    live.router.configure(candidates, {"": replace(_policy(), rules=rules)})
    took = []
    for number in range(decisions):
        at, bank = _START + timedelta(milliseconds=20 * number), f"bank-{number % 8}"
        ask = RoutingRequest(_METHOD, rng.randrange(100, 1_000_000), "CNY", at, institution=bank, fee_ppm=FEE_PPM)
        started = time.thread_time_ns()
        live.decide(ask)
        took.append((time.thread_time_ns() - started) / 1000)
        result = Result(at, UUID(int=number + 1), rng.random() < _FAULTS, 900, bank, _METHOD)
        live.router.learn(candidates[number % len(candidates)].account_id, result)
    return took


def _hundred_rules() -> str:
    inputs = [{"id": name, "name": name, "field": name} for name in ("method", "amount_minor", "hour")]
    outputs = [{"id": name, "name": name, "field": name} for name in ("target", "action", "points")]
    rows = [
        {
            "_id": f"rule-{number}",
            "method": '"card"' if number % 2 else '"wechat_native"',
            "amount_minor": f"> {number * 9_000}",
            "target": f'"account-{number % 20}"',
            "action": '"block"' if number % 10 == 0 else '"prefer"',
            "points": "0.1",
        }
        for number in range(100)
    ]
    nodes: list[dict[str, Any]] = [
        {"id": "in", "type": "inputNode", "name": "payment"},
        {
            "id": "rules",
            "type": "decisionTableNode",
            "name": "rules",
            "content": {"hitPolicy": "collect", "inputs": inputs, "outputs": outputs, "rules": rows},
        },
        {"id": "out", "type": "outputNode", "name": "says"},
    ]
    edges = [
        {"id": "e1", "sourceId": "in", "targetId": "rules", "type": "edge"},
        {"id": "e2", "sourceId": "rules", "targetId": "out", "type": "edge"},
    ]
    return json.dumps({"nodes": [{**node, "position": {"x": 0, "y": 0}} for node in nodes], "edges": edges})


def _summary(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst of all worlds for each figure; regret as the worst and over all worlds together."""
    ours = sum(report["scores"]["hutong"].regret for report in reports)
    theirs = sum(report["scores"]["static_priority"].regret for report in reports)
    return {
        "seeds": [report["seed"] for report in reports],
        "regret_ratio": max(report["regret_ratio"] for report in reports),
        "regret_ratio_overall": ours / theirs,
        **{name: max(report[name] for report in reports) for name in _WORST},
    }


def _table(report: dict[str, Any]) -> Table:
    table = Table(title=f"World {report['seed']}")
    for heading in ("policy", "success", "cost ‱", "regret", "to dead channels"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for name, score in report["scores"].items():
        table.add_row(
            name,
            f"{score.succeeded / score.payments:.2%}",
            f"{score.cost / score.turnover * 10_000:.1f}",
            f"{score.regret / 100:,.0f}",
            str(score.lost_to_dead),
        )
    table.caption = (
        f"regret {report['regret_ratio']:.1%} of static priority's · left after {report['failures_to_leave']} failures"
        f" · back in {report['minutes_to_return']:.1f} min · {report['switches_per_change']:.2f} switches a change"
        f" · {report['dead_probe_share']:.3%} lost to probes"
    )
    return table
