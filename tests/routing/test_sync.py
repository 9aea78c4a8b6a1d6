"""The results of one process reach the others within seconds; overrides and configurations apply everywhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from hutong import operators, routing
from hutong.channels import Offer
from hutong.clock import ManualClock, SystemClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter, Unavailable
from hutong.ids import Ids
from hutong.routing import AttemptResult, Override, OverrideKind, RoutingRequest, RoutingState, StateSync
from hutong.routing.configuration.versions import PUBLISH, current_version, load_configuration, publish_configuration
from hutong.routing.decisions.record import configured_accounts, find_capabilities, read_capabilities, read_record
from hutong.routing.decisions.replay import decide_again
from hutong.routing.errors import ConfigurationRefused, RulesRefused
from hutong.routing.health import HealthState
from hutong.routing.process_state import candidate_from_offer
from support.fixtures.routing import table
from support.fixtures.routing_processes import CAPABILITIES, OFFERS, ONE, TWO, offers, person

_PRICE = {"tiers": [{"ppm": 6000}]}


@pytest.fixture(autouse=True)
async def empty_tables(routing_database: Database) -> None:
    async with routing_database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE NONE")
        await tx.execute("TRUNCATE routing.configuration, routing.override, routing.result, routing.volume")


class Process:
    def __init__(self, database: Database, clock: Any, number: int) -> None:
        self.state = RoutingState(draw=lambda: 0.5)
        self.state_sync = StateSync(database, self.state, clock=clock, process_id=UUID(int=number), offers=offers)
        self.clock = clock

    def fail(self, count: int, account_id: UUID = ONE) -> None:
        for _ in range(count):
            attempt_id = Ids(SystemClock()).new()
            self.state.router.learn(account_id, AttemptResult(self.clock.now(), attempt_id, fault=True, interface="qr"))

    def chosen(self) -> UUID | None:
        return self.state.decide(RoutingRequest("qr", 1000, "CNY", self.clock.now())).decision.chosen


async def test_two_processes_agree_within_two_seconds(routing_database: Database) -> None:
    clock = SystemClock()
    first, second = Process(routing_database, clock, 1), Process(routing_database, clock, 2)
    stop = asyncio.Event()
    running = [asyncio.create_task(process.state_sync.run(stop)) for process in (first, second)]
    async with asyncio.timeout(120):
        while not (first.state.candidates and second.state.candidates):  # noqa: ASYNC110 - processes have no event
            await asyncio.sleep(0.02)
        first.fail(20)
        began = asyncio.get_running_loop().time()
        while second.state.router.health(ONE, clock.now(), "qr").state is not HealthState.OPEN:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.02)
    took = asyncio.get_running_loop().time() - began
    assert second.chosen() == first.chosen() == TWO
    stop.set()
    await asyncio.gather(*running)
    print(f"the other process knew after {took:.2f} s")


async def test_after_a_jump_of_the_clock_nothing_is_known_of_the_accounts(
    routing_database: Database, clock: ManualClock
) -> None:
    """A channel that failed by a clock that was a day fast does not stay without payments for a day."""
    clock.advance(timedelta(days=1))
    first, second = Process(routing_database, clock, 1), Process(routing_database, clock, 2)
    for process in (first, second):
        await process.state_sync.exchange()
    stop = asyncio.Event()
    running = [asyncio.create_task(process.state_sync.run(stop)) for process in (first, second)]
    first.fail(20)

    async def until_health_is(state: HealthState) -> None:
        async with asyncio.timeout(120):
            while {p.state.router.health(ONE, clock.now(), "qr").state for p in (first, second)} != {state}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    await until_health_is(HealthState.OPEN)
    clock.advance(-timedelta(days=1))
    await until_health_is(HealthState.HEALTHY)
    await asyncio.sleep(1.2)
    await until_health_is(HealthState.HEALTHY)
    share = {"account": "wechat/one", "interface": "qr"}
    assert REGISTRY.get_sample_value("hutong_routing_share", share) == 1.0
    stop.set()
    await asyncio.gather(*running)


async def test_what_commits_late_is_not_lost(routing_database: Database, clock: ManualClock) -> None:
    """A slow process begins to write before others and commits after them."""
    slow, other, reader = (Process(routing_database, clock, number) for number in (1, 2, 3))
    for process in (slow, other, reader):
        await process.state_sync.exchange()
    async with routing_database.transaction() as tx:
        await tx.execute(
            "INSERT INTO routing.result (told_by, attempt_id, account_id, interface, institution, fault, latency_ms,"
            " at) SELECT $1, gen_random_uuid(), $2, 'qr', '', true, 1, $3 FROM generate_series(1, 20)",
            UUID(int=1), ONE, clock.now(),
        )  # fmt: skip
        other.fail(1, TWO)
        await other.state_sync.exchange()
        await reader.state_sync.exchange()
        await reader.state_sync.exchange()
        assert reader.state.router.tracked() == [(TWO, "qr")]
    await reader.state_sync.exchange()
    assert reader.state.router.health(ONE, clock.now(), "qr").state is HealthState.OPEN


async def test_decisions_go_on_and_nothing_is_lost_while_the_database_is_away(
    routing_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, reader = Process(routing_database, clock, 1), Process(routing_database, clock, 2)
    await process.state_sync.exchange()
    process.fail(20)
    process.state.add_volume(ONE, 5_000, "CNY", now=clock.now())

    async def away(_work: Any) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(routing_database, "run", away)
        with pytest.raises(Unavailable):
            await process.state_sync.exchange()
        assert process.chosen() == TWO
    await process.state_sync.exchange()
    await reader.state_sync.exchange()
    assert reader.chosen() == TWO
    assert [each.month_minor for each in reader.state.candidates] == [5_000, 0]


@pytest.mark.parametrize(("failures", "lines"), [(1, 0), (2, 1), (4, 1)])
async def test_a_database_that_stays_away_is_logged_once_and_one_that_is_busy_for_a_moment_is_not(
    routing_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, failures: int, lines: int
) -> None:
    process, stop, run = Process(routing_database, clock, 1), asyncio.Event(), routing_database.run
    rounds = 0

    async def away(work: Any) -> Any:
        nonlocal rounds
        rounds += 1
        if rounds <= failures:
            raise Unavailable("away")
        stop.set()
        return await run(work)

    monkeypatch.setattr(routing_database, "run", away)
    with capture_logs() as logs:
        await asyncio.wait_for(process.state_sync.run(stop), 60)
    assert [line["log_level"] for line in logs if line["event"] == "routing_not_shared"] == ["warning"] * lines


async def test_volumes_of_all_processes_count_by_currency(routing_database: Database, clock: ManualClock) -> None:
    first, second = Process(routing_database, clock, 1), Process(routing_database, clock, 2)
    both = replace(OFFERS[1], capabilities=replace(CAPABILITIES, currencies=frozenset({"CNY", "USD"})))

    async def offered() -> list[Offer]:
        return [OFFERS[0], both]

    for process in (first, second):
        process.state_sync = StateSync(
            routing_database, process.state, clock=clock, process_id=Ids(clock).new(), offers=offered
        )
        await process.state_sync.exchange()
        process.state.add_volume(ONE, 700, "CNY", now=clock.now())
        process.state.add_volume(TWO, 20, "USD", now=clock.now())
        process.state.add_volume(TWO, 5, "CNY", now=clock.now())
    for process in (first, second, first):
        await process.state_sync.exchange()
    for process in (first, second):
        one, two = process.state.candidates
        assert (one.taken_minor("CNY"), two.taken_minor("USD"), two.taken_minor("CNY")) == (1400, 40, 10)
        assert two.taken_minor("EUR") == 0


async def propose(database: Database, document: dict[str, Any], maker: UUID, now: datetime) -> operators.Proposal:
    async with database.transaction() as tx:
        return await routing.propose_configuration(
            tx,
            document,
            candidates=[candidate_from_offer(offer) for offer in OFFERS],
            proposal_id=Ids(SystemClock()).new(),
            maker_id=maker,
            reason="a better price",
            now=now,
        )


async def approve(database: Database, proposal: operators.Proposal, checker: UUID, now: datetime) -> None:
    decision = operators.ApprovalDecision(proposal.proposal_id, checker, True, "agreed")
    async with database.transaction() as tx:
        await operators.conclude(tx, decision, {PUBLISH: publish_configuration}, now=now)


async def test_a_published_configuration_is_in_force_everywhere(routing_database: Database, clock: ManualClock) -> None:
    now = clock.now()
    maker = await person(routing_database, operators.Role.OPERATOR, now)
    checker = await person(routing_database, operators.Role.APPROVER, now)
    process = Process(routing_database, clock, 1)
    await process.state_sync.exchange()
    assert process.chosen() == TWO, "alipay comes before wechat where nothing else tells them apart"
    document = {"accounts": {"wechat/one": {"price": _PRICE}}, "policies": {"": {"priority": ["wechat/one"]}}}
    proposal = await propose(routing_database, document, maker, now)
    await process.state_sync.exchange()
    assert process.chosen() == TWO, "one person alone changes nothing"
    await approve(routing_database, proposal, checker, now)
    await process.state_sync.exchange()
    assert process.chosen() == ONE
    assert process.state.configuration.version == 1
    older = await propose(routing_database, {}, maker, now)
    await approve(routing_database, await propose(routing_database, document, maker, now), checker, now)
    with pytest.raises(Conflict):
        await approve(routing_database, older, checker, now)


@pytest.mark.parametrize(
    ("document", "error", "says"),
    [
        ({"policies": {"": {"weights": {"latency": 1.1}}}}, ConfigurationRefused, "weights.latency"),
        ({"policies": {"": {"weights": {"latency": -0.1}}}}, ConfigurationRefused, "weights.latency"),
        ({"policies": {"": {"priority": ["wechat/three"]}}}, ConfigurationRefused, "wechat/three"),
        ({"policies": {"": {"default": "nobody"}}}, ConfigurationRefused, "nobody"),
        ({"acounts": {}}, ConfigurationRefused, "acounts"),
        ({"accounts": {"wechat/one": {"price": {"tiers": [{"from_minor": 5, "ppm": 1}]}}}},
         ConfigurationRefused, "rise from 0"),
        ({"health": {"cooldown_s": 20, "cooldown_max_s": 10}}, ConfigurationRefused, "cooldown_max_s"),
        ({"policies": {"": {"rules": "{\n,"}}}, RulesRefused, "line 2"),
        ({"policies": {"": {"rules": table({"target": '"nobody"', "action": '"block"'})}}},
         RulesRefused, "nobody"),
        ({"policies": {"": {"rules": table({"target": '"wechat"', "action": '"block"'},
                                           {"target": '"alipay"', "action": '"block"'})}}},
         RulesRefused, "every channel is excluded"),
    ],
)  # fmt: skip
async def test_a_wrong_configuration_is_refused_and_the_old_one_stays(
    routing_database: Database, clock: ManualClock, document: dict[str, Any], error: type[InvalidParameter], says: str
) -> None:
    maker = await person(routing_database, operators.Role.OPERATOR, clock.now())
    with pytest.raises(error, match=says):
        await propose(routing_database, document, maker, clock.now())
    async with routing_database.transaction() as tx:
        assert await current_version(tx) == 0


async def override(
    database: Database, clock: ManualClock, kind: OverrideKind, account: str, until: timedelta | None
) -> Override:
    operator = await person(database, operators.Role.OPERATOR, clock.now())
    end = None if until is None else clock.now() + until
    wanted = Override(Ids(clock).new(), kind, "", account, end, "the bank called", operator, clock.now())
    async with database.transaction() as tx:
        candidates = [candidate_from_offer(offer) for offer in OFFERS]
        return await routing.add_override(tx, wanted, candidates=candidates)


async def test_a_pin_holds_until_its_end_and_a_block_until_it_is_lifted(
    routing_database: Database, clock: ManualClock
) -> None:
    process = Process(routing_database, clock, 1)
    pin = await override(routing_database, clock, OverrideKind.PIN, "wechat/one", timedelta(hours=1))
    await process.state_sync.exchange()
    assert process.chosen() == ONE
    clock.advance(timedelta(hours=2))
    assert process.chosen() == TWO
    block = await override(routing_database, clock, OverrideKind.BLOCK, "alipay", None)
    await process.state_sync.exchange()
    assert process.chosen() == ONE
    async with routing_database.transaction() as tx:
        await routing.lift_override(
            tx, block.override_id, operator_id=block.operator_id, reason="it is over", now=clock.now()
        )
    await process.state_sync.exchange()
    assert process.chosen() == TWO
    assert pin.until is not None


@pytest.mark.parametrize("until", [None, timedelta(0), timedelta(days=8)])
async def test_a_pin_has_an_end_that_is_near(
    routing_database: Database, clock: ManualClock, until: timedelta | None
) -> None:
    with pytest.raises(InvalidParameter):
        await override(routing_database, clock, OverrideKind.PIN, "wechat/one", until)


async def test_accounts_as_the_database_names_them_are_written_down(routing_database: Database) -> None:
    """The driver's numbers are a kind of their own."""
    async with routing_database.transaction() as tx:
        number = await tx.fetchval("SELECT $1::uuid", ONE)
    state, other = RoutingState(draw=lambda: 0.5), RoutingState(draw=lambda: 0.5)
    state.offer([replace(OFFERS[0], account_id=number)])
    other.offer(OFFERS[:1])
    assert state.capability_snapshot == other.capability_snapshot
    assert read_capabilities(state.capability_snapshot.document)[0].account_id == ONE


async def test_a_decision_is_made_again_from_what_was_stored(routing_database: Database, clock: ManualClock) -> None:
    process = Process(routing_database, clock, 1)
    await process.state_sync.exchange()
    process.fail(7)
    chosen = process.state.decide(RoutingRequest("qr", 1000, "CNY", clock.now()))
    await process.state_sync.exchange()
    record = read_record(chosen.record)
    async with routing_database.transaction() as tx:
        basis = (await find_capabilities(tx, [record.capability_digest]))[record.capability_digest]
        configuration = await load_configuration(tx, record.version)
    again = decide_again(record, configured_accounts(basis, configuration), configuration)
    assert again == chosen.decision
