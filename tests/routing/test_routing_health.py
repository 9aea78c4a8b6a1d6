"""Health follows from the set of results, whatever order they come in; only faults harm, one bank harms nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hutong.routing import AttemptResult
from hutong.routing.health import HealthPolicy, HealthState, Track
from hutong.routing.model import RoutingPolicy
from hutong.routing.router import Router
from support.fixtures.routing import NOW, account, routing_request

POLICY = HealthPolicy()


def result(number: int, *, fault: bool, seconds: float | None = None, institution: str = "") -> AttemptResult:
    at = NOW + timedelta(seconds=number if seconds is None else seconds)
    return AttemptResult(at, UUID(int=number + 1), fault=fault, latency_ms=500, institution=institution)


def run(*faults: bool, start: int = 0) -> Track:
    track = Track(POLICY)
    for number, fault in enumerate(faults):
        track.learn(result(start + number, fault=fault))
    return track


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 300), st.sampled_from(["", "cmb", "icbc"])), max_size=60),
    st.randoms(use_true_random=False),
)
def test_any_order_of_late_and_repeated_results_gives_the_same_health(facts, rng) -> None:
    results = [
        result(number, fault=fault, seconds=seconds, institution=bank)
        for number, (fault, seconds, bank) in enumerate(facts)
    ]
    straight, shuffled = Track(POLICY), Track(POLICY)
    for each in sorted(results):
        straight.learn(each)
    repeated = rng.sample(results, len(results) // 2)
    # A later result of an attempt never counts.
    later = [
        replace(each, at=each.at + timedelta(seconds=rng.randint(1, 60)), fault=not each.fault) for each in repeated
    ]
    order = [*results, *repeated, *later]
    rng.shuffle(order)
    for each in order:
        shuffled.learn(each)
    for seconds in (300, 320, 400, 2_000):
        assert shuffled.health(at(seconds)) == straight.health(at(seconds))


def test_a_repeated_result_says_nothing_new() -> None:
    track = run(False)
    assert not track.learn(result(0, fault=False))
    assert not track.learn(result(0, fault=True, seconds=9))


def test_a_dead_channel_is_left_within_a_few_faults_and_a_weak_one_is_not() -> None:
    faults = 0
    track = run(*[False] * 30)
    while track.health(at(30 + faults)).state is not HealthState.OPEN:
        track.learn(result(30 + faults, fault=True))
        faults += 1
    assert faults <= 8
    weak = run(*[number % 7 == 0 for number in range(140)])
    assert weak.health(at(140)).share == 1.0


def test_a_channel_that_fails_more_than_it_should_is_degraded_and_recovers_with_a_gap_between() -> None:
    pattern = [number % 3 == 0 for number in range(40)]
    track = run(*pattern)
    assert track.health(at(40)).state is HealthState.DEGRADED
    for number in range(40, 60):
        track.learn(result(number, fault=number == 41))
    assert track.health(at(60)).state is HealthState.HEALTHY
    border = run(*[number % 6 == 0 for number in range(60)])  # between the two ratios: stays what it was
    assert border.health(at(60)).state is HealthState.HEALTHY


def _opened() -> tuple[Track, int]:
    track, number = run(*[False] * 10), 10
    while track.health(at(number)).state is not HealthState.OPEN:
        track.learn(result(number, fault=True))
        number += 1
    return track, number - 1


def test_it_is_probed_after_a_pause_and_returns_by_a_ramp() -> None:
    track, opened = _opened()
    assert track.health(at(opened + 14.9)).share == 0.0
    shares = []
    number = opened + 15
    while track.health(at(number)).state is not HealthState.HEALTHY:
        share = track.health(at(number)).share
        if not shares or shares[-1] != share:
            shares.append(share)
        track.learn(result(number, fault=False))
        number += 1
    assert shares == [0.01, 0.05, 0.25, 1.0]
    assert number - opened - 15 == sum(POLICY.ramp_successes)


def test_a_probe_that_fails_doubles_the_pause_up_to_its_limit() -> None:
    track, opened = _opened()
    pauses = []
    since = float(opened)
    for _ in range(5):
        pause = 1.0
        while track.health(at(since + pause)).state is HealthState.OPEN:
            pause += 1.0
        pauses.append(pause)
        since += pause
        track.learn(result(int(since * 1000), fault=True, seconds=since))
    assert pauses == [15, 30, 60, 60, 60]


def test_what_was_sent_before_it_opened_does_not_prolong_it() -> None:
    track, opened = _opened()
    for number in range(1, 10):
        track.learn(result(opened + number, fault=True))
    assert track.health(at(opened + 15)).state is HealthState.PROBING


def test_one_banks_outage_does_not_open_the_channel() -> None:
    track = Track(POLICY)
    for number in range(300):
        bank = ("cmb", "icbc", "abc", "ccb")[number % 4]
        track.learn(result(number, fault=number > 40 and bank == "cmb", institution=bank))
    health = track.health(at(300))
    assert health.share == 1.0
    assert health.success > 0.9


def test_results_fade_so_that_an_old_bad_time_is_forgotten() -> None:
    track = run(*[number % 3 == 0 for number in range(30)])
    assert track.health(at(30)).success < 0.85
    assert track.health(at(30) + timedelta(hours=3)).success > 0.94


def test_two_routers_that_share_results_agree() -> None:
    shared_results: list[tuple[UUID, AttemptResult]] = []
    first = Router(lambda: 0.5, on_new_result=lambda account_id, result: shared_results.append((account_id, result)))
    second = Router(lambda: 0.5)
    for router in (first, second):
        router.configure([account(1), account(2)], {"": RoutingPolicy()})
    for number in range(40):
        first.learn(UUID(int=1 + number % 2), result(number, fault=number % 2 == 0, institution="cmb"))
    assert not first.learn(UUID(int=1), result(0, fault=True, institution="cmb"))
    assert len(shared_results) == 40
    for account_id, each in reversed(shared_results):
        second.learn(account_id, each, shared=True)
    for number in (1, 2):
        for bank in ("", "cmb"):
            account_id = UUID(int=number)
            assert first.health(account_id, at(50), "", bank) == second.health(account_id, at(50), "", bank)
    assert first.snapshot(at(50)) == second.snapshot(at(50))


def test_a_new_configuration_keeps_the_results() -> None:
    router = Router(lambda: 0.5)
    router.configure([account(1), account(2)], {"": RoutingPolicy()})
    for number in range(10):
        router.learn(UUID(int=1), replace(result(number, fault=True), interface="card"))
    assert router.health(UUID(int=1), at(10), "card").state is HealthState.OPEN
    router.configure([account(1), account(3)], {"": RoutingPolicy()})
    assert router.health(UUID(int=1), at(10), "card").state is HealthState.OPEN
    assert router.decide(routing_request(at=at(10)))[0].chosen == UUID(int=3)
    assert not router.learn(UUID(int=2), replace(result(99, fault=True), interface="card"))


def test_each_interface_of_an_account_has_a_health_of_its_own() -> None:
    router = Router(lambda: 0.5)
    router.configure([account(1)], {"": RoutingPolicy()})
    for number in range(10):
        router.learn(UUID(int=1), replace(result(number, fault=True), interface="card"))
    assert router.health(UUID(int=1), at(10), "card").state is HealthState.OPEN
    assert router.health(UUID(int=1), at(10), "qr").state is HealthState.HEALTHY


def test_a_configuration_says_how_soon_an_account_that_failed_is_tried_again() -> None:
    router = Router(lambda: 0.5)
    router.configure([account(1)], {"": RoutingPolicy()})
    for number in range(7):
        each = result(number, fault=True, institution=("cmb", "icbc")[number % 2])
        router.learn(UUID(int=1), replace(each, interface="card"))

    def states() -> list[HealthState]:
        return [router.health(UUID(int=1), at(seconds), "card").state for seconds in (8, 15, 25)]

    assert states() == [HealthState.OPEN, HealthState.OPEN, HealthState.PROBING]
    router.configure([account(1)], {"": RoutingPolicy()}, health_policy=HealthPolicy(cooldown=timedelta(seconds=6)))
    assert states() == [HealthState.OPEN, HealthState.PROBING, HealthState.PROBING]
    router.configure([account(1)], {"": RoutingPolicy()})
    assert states() == [HealthState.OPEN, HealthState.PROBING, HealthState.PROBING], "a policy that is not given stays"
