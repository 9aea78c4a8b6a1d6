"""`hutong bench routing`: Hutong's policy against static priority, round robin and an oracle, in seeded simulations."""

from __future__ import annotations

import heapq
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from hutong import routing
from hutong.bench.routing_simulation import (
    FEE_PPM,
    SUCCESS_VALUE_PPM,
    Arrival,
    RoutingSimulation,
    SimulatedChannel,
    make_simulation,
)
from hutong.channels import ActionKind, Capabilities, Offer, PaymentMethod

_START = datetime(2026, 1, 5, tzinfo=UTC)
_DEAD = 0.10
_FAULTS = 0.05
_METHOD = "card"
_QUERY_EVERY_S = 20.0


@dataclass(slots=True)
class Score:
    """The result of a policy in a simulation."""

    payments: int = 0
    succeeded: int = 0
    cost: float = 0.0
    turnover: float = 0.0
    regret: float = 0.0
    lost_to_dead: int = 0

    def add(self, simulation: RoutingSimulation, arrival: Arrival, channel: SimulatedChannel, best: float) -> bool:
        """Add a payment that went to a channel; return whether the channel processed it."""
        chance = simulation.chance(channel, arrival.bank, arrival.at)
        processed = arrival.luck < chance
        self.payments += 1
        self.regret += best - simulation.value(channel, arrival)
        self.lost_to_dead += chance < _DEAD
        if processed and not arrival.declined:
            self.succeeded += 1
            self.cost += channel.cost(arrival.amount_minor)
            self.turnover += arrival.amount_minor
        return processed


@dataclass(slots=True)
class OutageMetrics:
    """Figures of how Hutong's policy follows the outages of channels.

    Attributes:
        to_leave: Failures of a dead channel before it was left, for each outage.
        to_return_s: Seconds from the end of an outage until the channel had all of its traffic again.
        switches, changes: How often a channel was left or used again, and how often a channel failed or recovered.
        dead_probes: Probes that met an outage.
    """

    to_leave: list[int] = field(default_factory=list)
    to_return_s: list[float] = field(default_factory=list)
    switches: int = 0
    changes: int = 0
    dead_probes: int = 0


Policy = Callable[[Arrival], SimulatedChannel]


def static_priority(simulation: RoutingSimulation) -> Policy:
    """Return the policy of a priority list: the cheapest channel first, whatever happens."""
    order = sorted(simulation.channels, key=lambda channel: channel.cost(10_000))
    return lambda arrival: next(channel for channel in order if arrival.bank in channel.banks)


def round_robin(simulation: RoutingSimulation) -> Policy:
    """Return the policy that uses one channel after the other."""
    turn = 0

    def select(arrival: Arrival) -> SimulatedChannel:
        nonlocal turn
        able = [channel for channel in simulation.channels if arrival.bank in channel.banks]
        turn += 1
        return able[turn % len(able)]

    return select


def oracle(simulation: RoutingSimulation) -> Policy:
    """Return the policy that knows every true chance."""
    return lambda arrival: max(
        (channel for channel in simulation.channels if arrival.bank in channel.banks),
        key=lambda channel: simulation.value(channel, arrival),
    )


def play(simulation: RoutingSimulation, policy: Policy) -> Score:
    """Run a policy that does not depend on results."""
    score = Score()
    best = oracle(simulation)
    for arrival in simulation.arrivals:
        score.add(simulation, arrival, policy(arrival), simulation.value(best(arrival), arrival))
    return score


def play_hutong(simulation: RoutingSimulation) -> tuple[Score, OutageMetrics, list[float]]:
    """Run the router as the platform does: results arrive after the time that the channel takes.

    Returns:
        The score, figures of outages, and the duration of each decision, in microseconds of this process's CPU.
    """
    rng = random.Random(simulation.seed + 1)  # noqa: S311 - a simulation
    account_ids = {channel.name: UUID(int=number + 1) for number, channel in enumerate(simulation.channels)}
    by_id = {account_ids[channel.name]: channel for channel in simulation.channels}
    router = _routing_state(
        rng.random,
        [_offer(channel, account_ids[channel.name]) for channel in simulation.channels],
        {channel.name: channel for channel in simulation.channels},
    ).router
    score, durations = Score(), []
    best = oracle(simulation)
    watch = _OutageWatch(simulation, router.health, account_ids)
    arriving: list[tuple[float, int, UUID, routing.AttemptResult]] = []
    queried: dict[UUID, float] = {}
    for number, arrival in enumerate(simulation.arrivals):
        now = _START + timedelta(seconds=arrival.at)
        for account_id, _ in router.idle(now):
            # The platform's query to a channel without traffic.
            if arrival.at - queried.get(account_id, -_QUERY_EVERY_S) >= _QUERY_EVERY_S:
                queried[account_id] = arrival.at
                fault = rng.random() >= by_id[account_id].success(arrival.at)
                probe = routing.AttemptResult(now, UUID(int=number + 10**9), fault, 500, interface=_METHOD)
                router.learn(account_id, probe)
        while arriving and arriving[0][0] <= arrival.at:
            at, _, account_id, result = heapq.heappop(arriving)
            router.learn(account_id, result)
            watch.observe(at, by_id[account_id])
        request = _request(arrival.amount_minor, now, f"bank-{arrival.bank}")
        watch.observe_all(arrival.at)
        started = time.thread_time_ns()
        decision, _ = router.decide(request)
        durations.append((time.thread_time_ns() - started) / 1000)
        assert decision.chosen is not None, "the default takes payments for which no channel qualifies"
        channel = by_id[decision.chosen]
        watch.sent(arrival, channel, decision)
        processed = score.add(simulation, arrival, channel, simulation.value(best(arrival), arrival))
        slow = 5.0 if simulation.chance(channel, arrival.bank, arrival.at) < _DEAD and arrival.patience < 0.3 else 1.5
        answered = arrival.at + slow * (0.5 + arrival.patience)
        result = routing.AttemptResult(
            _START + timedelta(seconds=answered),
            UUID(int=number + 1000),
            fault=not processed,
            latency_ms=int((answered - arrival.at) * 1000),
            institution=request.institution,
            interface=_METHOD,
        )
        heapq.heappush(arriving, (answered, number, decision.chosen, result))
    return score, watch.metrics, durations


def _request(amount_minor: int, at: datetime, bank: str) -> routing.RoutingRequest:
    return routing.RoutingRequest(_METHOD, amount_minor, "CNY", at, institution=bank, fee_ppm=FEE_PPM)


def _offer(channel: SimulatedChannel, account_id: UUID, *, account: str = "") -> Offer:
    can = Capabilities(
        channel=channel.name,
        methods={_METHOD: PaymentMethod(ActionKind.QR_CODE)},
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=10**9,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),
        resubmits=True,
        institutions=frozenset(f"bank-{bank}" for bank in channel.banks),
    )
    return Offer(account_id, can, sandbox=False, name=account)


def _routing_state(
    draw: Callable[[], float],
    offers: list[Offer],
    accounts: Mapping[str, SimulatedChannel],
    *,
    rules: str | None = None,
) -> routing.RoutingState:
    """Return the routing of these offers at their prices.

    Args:
        accounts: The channel of each account by the account's name.
    """
    policy = {"success_value_ppm": SUCCESS_VALUE_PPM, "default": "channel-1", "rules": rules}
    prices = {
        name: {"price": {"tiers": [{"ppm": channel.ppm, "fixed_minor": channel.fixed_minor}]}}
        for name, channel in accounts.items()
    }
    file = routing.ConfigurationFile(json.dumps({"accounts": prices, "policies": {"": policy}}))
    state = routing.RoutingState(draw=draw)
    state.offer(offers)
    state.adopt(file.check(version=1, candidates=None), (), {})
    return state


class _OutageWatch:
    """Observes how the router follows the outages of whole channels."""

    def __init__(self, simulation: RoutingSimulation, health: Callable[..., Any], account_ids: dict[str, UUID]) -> None:
        self.metrics = OutageMetrics(changes=2 * sum(len(channel.outages) for channel in simulation.channels))
        self._health = health
        self._account_ids = account_ids
        self._channels = simulation.channels
        self._is_left = {channel.name: False for channel in simulation.channels}
        self._sent = {channel.name: 0 for channel in simulation.channels}
        self._left_dead: dict[str, bool] = {}

    def observe_all(self, at: float) -> None:
        for channel in self._channels:
            self.observe(at, channel)

    def observe(self, at: float, channel: SimulatedChannel) -> None:
        name = channel.name
        health = self._health(self._account_ids[name], _START + timedelta(seconds=at), _METHOD)
        dead = _is_dead(channel, at)
        if health.is_open and not self._is_left[name]:
            self._is_left[name] = True
            self._left_dead[name] = dead
            self.metrics.switches += 1
            if dead:
                self.metrics.to_leave.append(self._sent[name])
        elif health.share == 1.0 and self._is_left[name]:
            self._is_left[name] = False
            self.metrics.switches += 1
            ended = max((outage.end for outage in channel.outages if outage.end <= at), default=None)
            if ended is not None and self._left_dead[name]:
                self.metrics.to_return_s.append(at - ended)
        if not dead:
            self._sent[name] = 0

    def sent(self, arrival: Arrival, channel: SimulatedChannel, decision: routing.RoutingDecision) -> None:
        """Count a payment that went to a dead channel, unless there was no other channel for it."""
        refused = next(each.refused for each in decision.evaluations if each.account_id == decision.chosen)
        by_choice = decision.is_probe or not refused
        if _is_dead(channel, arrival.at) and by_choice:
            if self._is_left[channel.name]:
                self.metrics.dead_probes += 1
            else:
                self._sent[channel.name] += 1


def _is_dead(channel: SimulatedChannel, at: float) -> bool:
    return any(outage.start <= at < outage.end for outage in channel.outages)


def run(seed: int, *, payments: int) -> dict[str, Any]:
    """Run all policies in one simulation; return the figures by name."""
    simulation = make_simulation(seed, payments=payments)
    hutong, metrics, _ = play_hutong(simulation)
    others = {
        "static_priority": play(simulation, static_priority(simulation)),
        "round_robin": play(simulation, round_robin(simulation)),
        "oracle": play(simulation, oracle(simulation)),
    }
    return {
        "seed": seed,
        "scores": {"hutong": hutong} | others,
        "regret_ratio": hutong.regret / others["static_priority"].regret,
        "failures_to_leave": max(metrics.to_leave, default=0),
        "minutes_to_return": max(metrics.to_return_s, default=0.0) / 60,
        "switches_per_change": metrics.switches / metrics.changes if metrics.changes else 0.0,
        "dead_probe_share": metrics.dead_probes / hutong.payments,
    }


def run_bench_routing(*, seeds: list[int], payments: int, as_json: bool) -> int:
    """Run the simulations of some seeds and print the result of each policy.

    Returns:
        0; the reader judges the figures.
    """
    durations = sorted(decision_times())
    reports = [run(seed, payments=payments) for seed in seeds]
    figures = _summary(reports) | {"decision_p99_us": durations[int(len(durations) * 0.99)]}
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
    """Measure decisions among 20 candidates under 100 rules, with their records, while results arrive.

    Returns:
        The duration of each, in microseconds of this process's CPU.
    """
    rng = random.Random(1)  # noqa: S311 - a measurement
    channels = make_simulation(1, payments=0).channels
    used = [channels[number % len(channels)] for number in range(20)]
    offers = [_offer(channel, UUID(int=number + 1), account=str(number)) for number, channel in enumerate(used)]
    accounts = {f"{channel.name}/{number}": channel for number, channel in enumerate(used)}
    state = _routing_state(rng.random, offers, accounts, rules=_hundred_rules(list(accounts)))
    durations = []
    for number in range(decisions):
        at, bank = _START + timedelta(milliseconds=20 * number), f"bank-{number % 8}"
        request = _request(rng.randrange(100, 1_000_000), at, bank)
        started = time.thread_time_ns()
        state.decide(request)
        durations.append((time.thread_time_ns() - started) / 1000)
        result = routing.AttemptResult(at, UUID(int=number + 1), rng.random() < _FAULTS, 900, bank, _METHOD)
        state.router.learn(offers[number % len(offers)].account_id, result)
    return durations


def _hundred_rules(accounts: list[str]) -> str:
    inputs = [{"id": name, "name": name, "field": name} for name in ("method", "amount_minor", "hour")]
    outputs = [{"id": name, "name": name, "field": name} for name in ("target", "action", "points")]
    rows = [
        {
            "_id": f"rule-{number}",
            "method": '"card"' if number % 2 else '"wechat_native"',
            "amount_minor": f"> {number * 9_000}",
            "target": json.dumps(accounts[number % len(accounts)]),
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
        {"id": "out", "type": "outputNode", "name": "outputs"},
    ]
    edges = [
        {"id": "e1", "sourceId": "in", "targetId": "rules", "type": "edge"},
        {"id": "e2", "sourceId": "rules", "targetId": "out", "type": "edge"},
    ]
    return json.dumps({"nodes": [{**node, "position": {"x": 0, "y": 0}} for node in nodes], "edges": edges})


def _summary(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the worst of all simulations for each figure; regret as the worst and over all simulations together."""
    hutong = sum(report["scores"]["hutong"].regret for report in reports)
    priority = sum(report["scores"]["static_priority"].regret for report in reports)
    return {
        "seeds": [report["seed"] for report in reports],
        "regret_ratio": max(report["regret_ratio"] for report in reports),
        "regret_ratio_overall": hutong / priority,
        **{name: max(report[name] for report in reports) for name in _WORST},
    }


def _table(report: dict[str, Any]) -> Table:
    table = Table(title=f"Simulation {report['seed']}")
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
