"""A draft routes a share of the payments, the same ones in every process, and is ended when it does worse."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hutong import operators, routing
from hutong.clock import ManualClock, SystemClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter, NotFound, Unavailable
from hutong.ids import Ids
from hutong.routing.configuration.configuration import UNCONFIGURED
from hutong.routing.decisions.record import read_record
from hutong.routing.decisions.replay import Replayer
from hutong.routing.errors import ExperimentUndecided
from hutong.routing.experiments.assignment import Arm, RunningExperiment
from hutong.routing.experiments.experiment import ExperimentStatus
from hutong.routing.process_state import candidate_from_offer
from support.fixtures.routing_processes import OFFERS, ONE, TWO, Process, exchange, person, propose, publish

BASE = {"policies": {"": {"priority": ["wechat/one"], "failovers": 1}}}
DRAFT: dict[str, Any] = {
    "accounts": {"alipay/two": {"price": {"tiers": [{"ppm": 2_000}]}}},
    "policies": {"": {"priority": ["alipay/two"], "failovers": 3}},
}
CANDIDATES = [candidate_from_offer(offer) for offer in OFFERS]
NUMBERS = Ids(SystemClock())


@pytest.fixture
async def processes(routing_database: Database, clock: ManualClock) -> list[Process]:
    async with routing_database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE NONE")
        await tx.execute("TRUNCATE routing.configuration, routing.override, routing.result, routing.trial CASCADE")
    await publish(routing_database, BASE, clock.now())
    made = [Process(routing_database, clock, number) for number in (1, 2)]
    await exchange(made)
    return made


async def start(process: Process, *, share: float = 0.3, guardrail: float = 0.05, document: Any = DRAFT) -> None:
    """Start an experiment as two people, and wait until all processes know of it."""
    now = process.clock.now()
    maker = await person(process.database, operators.Role.OPERATOR, now)
    checker = await person(process.database, operators.Role.APPROVER, now)
    async with process.database.transaction() as tx:
        proposal = await routing.propose_experiment(
            tx,
            document,
            version=process.state.configuration.version,
            share=share,
            guardrail=guardrail,
            candidates=CANDIDATES,
            proposal_id=NUMBERS.new(),
            maker_id=maker,
            reason="cheaper",
            now=now,
        )
        assert await routing.latest_experiment(tx, of=document) is None, "one person alone starts nothing"
        decision = operators.ApprovalDecision(proposal.proposal_id, checker, True, "agreed")
        await operators.conclude(tx, decision, routing.APPROVAL_HANDLERS, now=now)
    process.clock.advance(timedelta(seconds=10))


async def latest(process: Process) -> ExperimentStatus:
    async with process.database.transaction() as tx:
        status = await routing.latest_experiment(tx)
    assert status is not None
    return status


async def guard(process: Process) -> ExperimentStatus | None:
    return await process.database.run(lambda tx: routing.guard_experiment(tx, now=process.clock.now()))


def end(process: Process, arm: Arm, *, paid: int, unpaid: int) -> None:
    """End payments of an arm."""
    experiment = process.state.experiment
    assert experiment is not None
    account_id, now = (TWO if arm is Arm.DRAFT else ONE), process.clock.now()
    for number in range(paid + unpaid):
        payment = NUMBERS.new()
        while experiment.arm(payment) is not arm:
            payment = NUMBERS.new()
        process.state.count_outcome(
            payment, account_id, amount_minor=10_000, currency="CNY", created_at=now, paid=number < paid
        )


async def test_the_draft_decides_on_its_share_and_a_payment_keeps_its_arm(processes: list[Process]) -> None:
    first, second = processes
    await start(first)
    await exchange(processes)
    payments = [NUMBERS.new() for _ in range(2_000)]
    arms = [first.chosen(payment=payment) for payment in payments]
    assert 0.27 < arms.count(TWO) / len(arms) < 0.33
    assert [second.chosen(payment=payment) for payment in payments] == arms
    drafted = next(payment for payment, chosen in zip(payments, arms, strict=True) if chosen == TWO)
    assert first.state.policy(drafted).failovers == 3
    assert first.state.policy().failovers == 1


async def test_decisions_of_both_arms_say_so_and_are_made_again(processes: list[Process]) -> None:
    first, _ = processes
    await start(first, share=0.5)
    await exchange(processes)
    seen = set()
    async with first.database.transaction() as tx:
        replayer = Replayer(tx, UNCONFIGURED)
        for _ in range(30):
            ask = routing.RoutingRequest("qr", 1000, "CNY", first.clock.now(), payment=NUMBERS.new())
            record = read_record(first.state.decide(ask).record)
            assert (await replayer.replay(record)).same
            assert record.arm is (Arm.DRAFT if record.chosen == TWO else Arm.CONTROL)
            seen.add(record.arm)
    assert seen == set(Arm)


async def test_the_outcomes_of_both_arms_are_counted_over_all_processes(processes: list[Process]) -> None:
    first, second = processes
    await start(first)
    await exchange(processes)
    end(first, Arm.DRAFT, paid=3, unpaid=1)
    end(second, Arm.DRAFT, paid=1, unpaid=0)
    end(second, Arm.CONTROL, paid=2, unpaid=2)
    await exchange(processes)
    status = await latest(first)
    assert (status.arm(Arm.DRAFT), status.arm(Arm.CONTROL)) == ((5, 4), (4, 2))
    drafted = status.outcomes[Arm.DRAFT, "CNY"]
    assert (drafted.captured_minor, drafted.cost_ten_thousandths) == (40_000, 4 * 20 * 10_000)


async def test_attempts_from_before_all_processes_knew_are_in_neither_arm(processes: list[Process]) -> None:
    first, _ = processes
    await start(first)
    await exchange(processes)
    for age, counted in ((timedelta(seconds=6), 0), (timedelta(seconds=4), 1)):
        created_at = first.clock.now() - age
        first.state.count_outcome(NUMBERS.new(), ONE, amount_minor=1, currency="CNY", created_at=created_at, paid=True)
        assert len(first.state.take_pending(results_max=0, refusals_max=0).outcomes) == counted


async def test_nothing_counted_is_lost_while_the_database_is_away(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = processes
    await start(first)
    await exchange(processes)
    end(first, Arm.DRAFT, paid=1, unpaid=0)

    async def away(_work: Any) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(first.database, "run", away)
        with pytest.raises(Unavailable):
            await first.state_sync.exchange()
    end(first, Arm.DRAFT, paid=1, unpaid=0)
    await exchange(processes)
    assert (await latest(first)).arm(Arm.DRAFT) == (2, 2)


async def test_a_draft_that_does_worse_ends_by_itself_in_every_process(processes: list[Process]) -> None:
    first, second = processes
    await start(first, share=0.5)
    await exchange(processes)
    end(first, Arm.CONTROL, paid=950, unpaid=50)
    end(second, Arm.DRAFT, paid=460, unpaid=40)
    await exchange(processes)
    assert await guard(first) is None, "it is 3 points below, and 5 are allowed"
    end(second, Arm.DRAFT, paid=100, unpaid=400)
    await exchange(processes)
    assert await guard(first) is not None
    assert await guard(second) is None, "it ends once"
    await exchange(processes)
    assert {process.chosen(payment=NUMBERS.new()) for process in processes for _ in range(50)} == {ONE}
    status = await latest(first)
    assert (status.experiment.end_reason or "").startswith("guardrail: the draft's success rate is 39.00% below")
    async with first.database.transaction() as tx:
        (entry,) = await operators.list_audit(tx, limit=1)
    assert (entry.entry.action, entry.entry.actor_id) == ("routing.trial.end", None)


async def test_a_person_ends_an_experiment_once(processes: list[Process]) -> None:
    first, _ = processes
    await start(first)
    await exchange(processes)
    operator_id = await person(first.database, operators.Role.OPERATOR, first.clock.now())
    for _ in range(2):
        async with first.database.transaction() as tx:
            if (await latest(first)).experiment.ended_at is None:
                await routing.end_experiment(tx, operator_id=operator_id, reason="enough", now=first.clock.now())
            else:
                with pytest.raises(NotFound):
                    await routing.end_experiment(tx, operator_id=operator_id, reason="again", now=first.clock.now())
    await exchange(processes)
    assert first.state.experiment is None


async def test_one_experiment_runs_at_a_time_and_only_against_the_version_that_was_seen(
    processes: list[Process],
) -> None:
    first, _ = processes
    await start(first)
    with pytest.raises(Conflict, match="another draft"):
        await start(first, document=BASE)
    await publish(first.database, {}, first.clock.now())
    with pytest.raises(Conflict, match="another configuration"):
        await start(first, document=BASE)
    assert "version 2 was published" in ((await latest(first)).experiment.end_reason or "")


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"share": 0.0}, "share"), ({"share": 0.51}, "share"), ({"guardrail": -0.1}, "guardrail"),
     ({"document": {"policies": {"": {"priority": ["nobody"]}}}}, "policies..priority.0")],
)  # fmt: skip
async def test_an_experiment_that_cannot_be_run_is_refused(
    processes: list[Process], changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await start(processes[0], **changed)
    assert refused.value.param == says


async def test_a_draft_is_published_only_when_its_experiment_supports_it_or_anyway(processes: list[Process]) -> None:
    first, _ = processes
    await start(first, share=0.5)
    await exchange(processes)
    with pytest.raises(ExperimentUndecided):
        await propose(first.database, DRAFT, first.clock.now())
    await propose(first.database, {}, first.clock.now())
    end(first, Arm.CONTROL, paid=1_900, unpaid=100)
    end(first, Arm.DRAFT, paid=1_900, unpaid=100)
    await exchange(processes)
    accepted = await propose(first.database, DRAFT, first.clock.now())
    end(first, Arm.DRAFT, paid=0, unpaid=400)
    await exchange(processes)
    checker = await person(first.database, operators.Role.APPROVER, first.clock.now())
    decision = operators.ApprovalDecision(accepted.proposal_id, checker, True, "agreed")
    with pytest.raises(ExperimentUndecided, match="says worse"):
        async with first.database.transaction() as tx:
            await operators.conclude(tx, decision, routing.APPROVAL_HANDLERS, now=first.clock.now())
    anyway = await propose(first.database, DRAFT, first.clock.now(), anyway=True)
    async with first.database.transaction() as tx:
        await operators.conclude(
            tx, replace(decision, proposal_id=anyway.proposal_id), routing.APPROVAL_HANDLERS, now=first.clock.now()
        )
        (entry,) = await operators.list_audit(tx, limit=1, about=("routing", "version/2"))
    assert (entry.entry.after, entry.entry.reason) == ({"version": 2, "anyway": True}, "a test")


def test_a_payment_without_an_id_is_in_the_control() -> None:
    experiment = RunningExperiment(UUID(int=1), 0.5, ManualClock().now(), UNCONFIGURED)
    assert experiment.arm(None) is Arm.CONTROL
