"""Who switches: health by itself, an operator who confirms each switch, or only pins and blocks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from hutong import operators, routing
from hutong.clock import ManualClock, SystemClock
from hutong.db import Database
from hutong.errors import NotFound
from hutong.ids import Ids
from hutong.routing import Suggestion
from hutong.routing.configuration.suggestions import SuggestionKind
from hutong.routing.decisions.record import configured_accounts, read_capabilities, read_record, refusals_between
from hutong.routing.decisions.replay import decide_again
from hutong.routing.health import HealthState
from hutong.routing.model import SelectionReason
from support.fixtures.routing_processes import ONE, TWO, Process, exchange, person, publish

_PRODUCTS = {"careful": "suggest", "fixed": "manual", "": "auto"}
DOCUMENT = {
    "policies": {name: {"mode": mode, "priority": ["wechat/one"]} for name, mode in _PRODUCTS.items()},
}


@pytest.fixture
async def processes(routing_database: Database, clock: ManualClock) -> list[Process]:
    """Two processes under a configuration with a product of each mode; both are synchronized."""
    async with routing_database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE NONE")
        await tx.execute("TRUNCATE routing.configuration, routing.override, routing.result, routing.suggestion")
    await publish(routing_database, DOCUMENT, clock.now())
    pair = [Process(routing_database, clock, number) for number in (1, 2)]
    await exchange(pair)
    return pair


async def suggest(process: Process) -> list[Suggestion]:
    ids = Ids(SystemClock())
    return await process.database.run(
        lambda tx: routing.suggest(tx, process.state, now=process.clock.now(), new_id=ids.new)
    )


async def listed(process: Process) -> list[Suggestion]:
    async with process.database.transaction() as tx:
        return await routing.list_suggestions(tx)


async def decide(process: Process, suggestion: Suggestion, *, confirm: bool) -> None:
    operator_id = await person(process.database, operators.Role.OPERATOR, process.clock.now())
    async with process.database.transaction() as tx:
        await routing.decide_suggestion(
            tx,
            suggestion.suggestion_id,
            confirm=confirm,
            operator_id=operator_id,
            reason="the channel has called",
            override_id=Ids(SystemClock()).new(),
            now=process.clock.now(),
        )


def ways(process: Process) -> dict[str, Any]:
    return {product: process.chosen(product=product) for product in ("payment", "careful", "fixed")}


async def test_only_where_health_decides_does_a_failing_account_lose_its_payments(processes: list[Process]) -> None:
    first, _ = processes
    assert ways(first) == {"payment": ONE, "careful": ONE, "fixed": ONE}
    first.learn(20, fault=True)
    assert ways(first) == {"payment": TWO, "careful": ONE, "fixed": ONE}


async def test_by_score_too_health_moves_nothing_where_people_switch(
    routing_database: Database, processes: list[Process], clock: ManualClock
) -> None:
    prices = {"wechat/one": {"price": {"tiers": [{"ppm": 1}]}}, "alipay/two": {"price": {"tiers": [{"ppm": 2}]}}}
    by_score = {name: {"mode": mode, "explore": 0} for name, mode in _PRODUCTS.items()}
    await publish(routing_database, {"accounts": prices, "policies": by_score}, clock.now())
    await exchange(processes)
    processes[0].learn(4, fault=True)
    health = processes[0].state.router.health(ONE, clock.now(), "qr")
    assert (health.share, health.success < 0.7) == (1.0, True)
    assert ways(processes[0]) == {"payment": TWO, "careful": ONE, "fixed": ONE}


async def test_a_switch_is_suggested_once_with_its_figures_and_waits(processes: list[Process]) -> None:
    first, second = processes
    first.learn(20, fault=True)
    await exchange(processes)
    (suggestion,) = await suggest(first)
    assert (suggestion.what, suggestion.account, suggestion.interface) == (SuggestionKind.LEAVE, "wechat/one", "qr")
    assert "attempts failed technically" in suggestion.why
    assert suggestion.since <= suggestion.suggested_at
    assert await suggest(second) == await suggest(first) == []
    assert [each.suggestion_id for each in await listed(first)] == [suggestion.suggestion_id]
    assert first.chosen(product="careful") == ONE


async def test_a_confirmed_switch_applies_in_every_process_and_is_audited(processes: list[Process]) -> None:
    first, second = processes
    first.learn(20, fault=True)
    await exchange(processes)
    (suggestion,) = await suggest(first)
    await decide(first, suggestion, confirm=True)
    await exchange(processes)
    for process in processes:
        assert ways(process) == {"payment": TWO, "careful": TWO, "fixed": ONE}
    assert await listed(second) == []
    async with first.database.transaction() as tx:
        (entry, *_) = await operators.list_audit(tx, limit=1)
    assert (entry.entry.action, entry.entry.object_id) == ("routing.leave", "wechat/one")
    with pytest.raises(NotFound):
        await decide(first, suggestion, confirm=True)


async def test_the_switch_back_is_suggested_and_confirmed_in_the_same_way(processes: list[Process]) -> None:
    first, _ = processes
    first.learn(20, fault=True)
    await exchange(processes)
    await decide(first, (await suggest(first))[0], confirm=True)
    await exchange(processes)
    assert await suggest(first) == []
    first.clock.advance(timedelta(minutes=1))
    first.learn(25, fault=False)
    assert first.state.router.health(ONE, first.clock.now(), "qr").state is HealthState.HEALTHY
    assert ways(first) == {"payment": ONE, "careful": TWO, "fixed": ONE}, "only the confirmed switch stays"
    (back,) = await suggest(first)
    assert (back.what, back.account) == (SuggestionKind.RETURN, "wechat/one")
    await decide(first, back, confirm=True)
    await exchange(processes)
    for process in processes:
        assert process.chosen(product="careful") == ONE


async def test_a_suggestion_that_health_no_longer_calls_for_is_withdrawn(processes: list[Process]) -> None:
    first, _ = processes
    first.learn(20, fault=True)
    (suggestion,) = await suggest(first)
    first.clock.advance(timedelta(minutes=1))
    first.learn(2, fault=False)
    assert first.state.router.health(ONE, first.clock.now(), "qr").state is HealthState.PROBING
    assert await suggest(first) == []
    assert len(await listed(first)) == 1, "while it is probed it is not yet well"
    first.learn(25, fault=False)
    await suggest(first)
    assert await listed(first) == []
    with pytest.raises(NotFound):
        await decide(first, suggestion, confirm=True)


async def test_a_dismissed_suggestion_is_repeated_only_after_health_has_changed(processes: list[Process]) -> None:
    first, _ = processes
    first.learn(20, fault=True)
    (suggestion,) = await suggest(first)
    await decide(first, suggestion, confirm=False)
    assert await suggest(first) == []
    assert first.chosen(product="careful") == ONE
    first.clock.advance(timedelta(minutes=1))
    first.learn(25, fault=False)
    await suggest(first)
    first.learn(25, fault=True)
    assert len(await suggest(first)) == 1


async def test_without_a_product_in_the_mode_nothing_is_suggested(
    routing_database: Database, processes: list[Process], clock: ManualClock
) -> None:
    first, _ = processes
    first.learn(20, fault=True)
    await suggest(first)
    await publish(routing_database, {}, clock.now())
    await exchange(processes)
    assert await suggest(first) == []
    assert await listed(first) == []


async def test_a_process_without_the_results_of_others_withdraws_nothing(
    routing_database: Database, processes: list[Process], clock: ManualClock
) -> None:
    processes[0].learn(20, fault=True)
    await exchange(processes)
    await suggest(processes[0])
    await suggest(Process(routing_database, clock, 3))
    assert len(await listed(processes[0])) == 1


@pytest.mark.parametrize("product", ["payment", "careful", "fixed"])
async def test_a_pin_wins_in_every_mode_until_its_end(processes: list[Process], product: str) -> None:
    first, _ = processes
    now = first.clock.now()
    operator_id = await person(first.database, operators.Role.OPERATOR, now)
    pin = routing.Override(
        Ids(SystemClock()).new(),
        routing.OverrideKind.PIN,
        product,
        "alipay/two",
        now + timedelta(hours=1),
        "x",
        operator_id,
        now,
    )
    async with first.database.transaction() as tx:
        await routing.add_override(tx, pin, candidates=first.state.candidates, products=_PRODUCTS)
    await exchange(processes)
    assert first.chosen(product=product) == TWO
    first.clock.advance(timedelta(hours=1))
    assert first.chosen(product=product) == ONE


async def test_a_decision_under_a_confirmed_switch_is_made_again(processes: list[Process]) -> None:
    first, _ = processes
    first.learn(20, fault=True)
    await decide(first, (await suggest(first))[0], confirm=True)
    await exchange(processes)
    chosen = first.state.decide(routing.RoutingRequest("qr", 1000, "CNY", first.clock.now(), product="careful"))
    record = read_record(chosen.record)
    assert {evaluation.name: evaluation.refused for evaluation in record.evaluations}[
        "wechat/one"
    ] == "left_by_operator"
    base = configured_accounts(read_capabilities(first.state.capability_snapshot.document), first.state.configuration)
    assert decide_again(record, base, first.state.configuration) == chosen.decision


async def test_a_confirmation_applies_in_every_running_process_within_two_seconds(
    routing_database: Database, processes: list[Process]
) -> None:
    del processes  # only the configuration that they set up is needed
    clock = SystemClock()
    running = [Process(routing_database, clock, number) for number in (11, 12)]
    for _ in range(20):
        result = routing.AttemptResult(clock.now(), Ids(clock).new(), fault=True, interface="qr")
        await running[0].state_sync.sync(clock.now())
        running[0].state.router.learn(ONE, result)
    await running[0].state_sync.sync(clock.now())
    (suggestion,) = await suggest(running[0])
    stop = asyncio.Event()
    rounds = [asyncio.create_task(process.state_sync.run(stop)) for process in running]
    async with asyncio.timeout(120):
        while not all(process.state.is_synced for process in running):  # noqa: ASYNC110 - processes have no event
            await asyncio.sleep(0.02)
        await decide(running[0], suggestion, confirm=True)
        began = asyncio.get_running_loop().time()
        while {process.chosen(product="careful") for process in running} != {TWO}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    print(f"both knew after {asyncio.get_running_loop().time() - began:.2f} s")
    stop.set()
    await asyncio.gather(*rounds)


async def test_a_refused_decision_is_kept_unless_no_account_offers_the_method(processes: list[Process]) -> None:
    first, _ = processes
    now = first.clock.now()
    for wanted in (routing.RoutingRequest("qr", 2_000_000, "CNY", now), routing.RoutingRequest("card", 1, "CNY", now)):
        assert first.state.decide(wanted).decision.chosen is None
    await first.state_sync.exchange()
    async with first.database.transaction() as tx:
        kept = [text async for text in refusals_between(tx, now, now + timedelta(seconds=1))]
    (record,) = [read_record(text) for text in kept]
    assert (record.request.method, record.reason) == ("qr", SelectionReason.NO_ROUTE)
