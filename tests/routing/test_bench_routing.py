"""The measurement itself: same seed, same world; the oracle has no regret and the router little."""

from __future__ import annotations

import json

import pytest

from hutong.bench import run_bench_routing
from hutong.bench.routing import oracle, play, play_hutong, round_robin, static_priority
from hutong.bench.routing_simulation import make_simulation

PAYMENTS = 5_000


def test_a_seed_makes_one_world_and_one_course_of_it() -> None:
    assert make_simulation(3, payments=100) == make_simulation(3, payments=100)
    assert make_simulation(3, payments=100) != make_simulation(4, payments=100)
    assert play_hutong(make_simulation(3, payments=1_000))[:2] == play_hutong(make_simulation(3, payments=1_000))[:2]


def test_nobody_is_better_than_the_oracle_and_the_router_is_better_than_a_list() -> None:
    simulation = make_simulation(7, payments=PAYMENTS)
    best = play(simulation, oracle(simulation))
    assert best.regret == 0
    hutong, metrics, durations = play_hutong(simulation)
    listed, turns = play(simulation, static_priority(simulation)), play(simulation, round_robin(simulation))
    assert 0 < hutong.regret < min(listed.regret, turns.regret)
    assert {score.payments for score in (best, hutong, listed, turns)} == {len(durations)} == {PAYMENTS}
    assert metrics.switches <= metrics.changes


def test_the_report_is_one_object_with_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_bench_routing(seeds=[1], payments=2_000, as_json=True) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() >= {
        "regret_ratio",
        "failures_to_leave",
        "minutes_to_return",
        "switches_per_change",
        "dead_probe_share",
        "decision_p99_us",
    }
    run_bench_routing(seeds=[1], payments=2_000, as_json=False)
    assert "static_priority" in capsys.readouterr().out
