"""Filters let nothing unfit through, and the same facts give the same choice."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.routing.configuration.calendar import Window
from hutong.routing.configuration.price import Price, Tier
from hutong.routing.configuration.rules import read_rules
from hutong.routing.decide import decide
from hutong.routing.decisions.record import read_record, write_record
from hutong.routing.health import AccountHealth, HealthState
from hutong.routing.model import Candidate, Draws, Mode, Objective, RoutingPolicy, SelectionReason, Weights
from support.fixtures.routing import MIDDLE, NOW, account, routing_request, snapshot_with, table

OPEN = {"": AccountHealth(HealthState.OPEN, 0.0)}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"methods": frozenset({"alipay_qr"})}, "method_not_offered"),
        ({"currencies": frozenset({"USD"})}, "currency_not_offered"),
        ({"amount_minor_min": 10_001}, "amount_below_limit"),
        ({"amount_minor_max": 9_999}, "amount_above_limit"),
        ({"institutions": frozenset({"icbc"})}, "institution_not_reached"),
        ({"merchants": frozenset({"other"})}, "merchant_without_contract"),
        ({"blocked": "fraud at the channel"}, "blocked_by_operator"),
        ({"maintenance": ((NOW - timedelta(hours=1), NOW + timedelta(seconds=1)),)}, "maintenance"),
        ({"hours": (Window(frozenset({5, 6})),)}, "outside_hours"),
        ({"hours": (Window(start=time(13), end=time(18)),)}, "outside_hours"),
        ({"hours": (Window(closed_on=frozenset({NOW.date()})),)}, "outside_hours"),
        ({"month_limit_minor": 10_000, "month_minor": 1}, "month_limit_reached"),
    ],
)
def test_an_account_that_cannot_take_a_payment_is_named_with_the_reason(changed: dict, reason: str) -> None:
    payment = routing_request(institution="cmb", merchant="shop")
    fit, unfit = account(1, price=Price((Tier(0, 9_000),))), account(2, **changed)
    decision = decide(payment, snapshot_with(fit, unfit), MIDDLE)
    assert decision.chosen == fit.account_id
    assert [evaluation.refused for evaluation in decision.evaluations] == ["", reason]
    alone = decide(payment, snapshot_with(unfit), MIDDLE)
    assert (alone.chosen, alone.reason, alone.evaluations[0].refused) == (None, SelectionReason.NO_ROUTE, reason)


def test_limits_are_inclusive_and_a_window_ends_before_its_end() -> None:
    edge = account(
        1,
        amount_minor_min=10_000,
        amount_minor_max=10_000,
        month_limit_minor=10_000,
        maintenance=((NOW - timedelta(hours=1), NOW),),
        hours=(Window(start=time(12), end=time(12, 1)),),
    )
    assert decide(routing_request(), snapshot_with(edge), MIDDLE).chosen == edge.account_id


def test_an_account_that_has_refused_this_payment_is_not_selected_again() -> None:
    first, second = account(1, price=Price()), account(2)
    decision = decide(routing_request(tried=frozenset({first.account_id})), snapshot_with(first, second), MIDDLE)
    assert decision.chosen == second.account_id


ACCOUNTS = st.builds(
    account,
    st.integers(1, 50),
    methods=st.sampled_from([frozenset({"card"}), frozenset({"alipay_qr"})]),
    currencies=st.sampled_from([frozenset({"CNY"}), frozenset({"USD"})]),
    amount_minor_min=st.integers(1, 20_000),
    amount_minor_max=st.integers(1, 20_000),
    institutions=st.sampled_from([frozenset(), frozenset({"icbc"}), frozenset({"cmb"})]),
    blocked=st.sampled_from(["", "", "no"]),
    price=st.builds(lambda ppm: Price((Tier(0, ppm),)), st.integers(0, 20_000)),
    health=st.sampled_from(
        [{}, OPEN, {"": AccountHealth(HealthState.PROBING, 0.05)}, {"": AccountHealth(success=0.5)}]
    ),
    probe_due=st.booleans(),
)
UNIT = st.floats(0, 1, exclude_max=True)


@given(
    st.lists(ACCOUNTS, max_size=8, unique_by=lambda candidate: candidate.account_id),
    st.integers(1, 20_000),
    st.builds(Draws, UNIT, UNIT, UNIT, UNIT),
    st.sampled_from(list(Objective)),
    st.floats(0, 1),
    st.sampled_from([None, "a1", "a2"]),
)
def test_nothing_unfit_ever_gets_a_payment_and_the_choice_can_be_made_again(
    accounts: list[Candidate], amount_minor: int, draws: Draws, objective: Objective, explore: float, default: str
) -> None:
    payment = routing_request(amount_minor=amount_minor, institution="cmb")
    snapshot = snapshot_with(*accounts, objective=objective, explore=explore, default=default, split={"a1": 1, "a3": 3})
    decision = decide(payment, snapshot, draws)
    assert decide(payment, snapshot, draws) == decision
    assert len(decision.evaluations) == len(accounts)
    if decision.chosen is None:
        assert decision.reason is SelectionReason.NO_ROUTE
        assert all(evaluation.refused for evaluation in decision.evaluations)
        return
    chosen = next(candidate for candidate in accounts if candidate.account_id == decision.chosen)
    assert "card" in chosen.methods
    assert "CNY" in chosen.currencies
    assert chosen.amount_minor_min <= amount_minor <= chosen.amount_minor_max
    assert not chosen.institutions or "cmb" in chosen.institutions
    assert not chosen.blocked
    if chosen.health == OPEN:
        assert decision.reason is SelectionReason.DEFAULT


def test_the_order_of_the_candidates_does_not_matter() -> None:
    accounts = [account(number) for number in range(1, 5)]
    forth, back = (decide(routing_request(), snapshot_with(*some), MIDDLE) for some in (accounts, accounts[::-1]))
    assert forth.chosen == back.chosen == UUID(int=1)


def test_each_objective_has_its_own_winner() -> None:
    cheap = account(1, price=Price((Tier(0, 1_000),)), health={"": AccountHealth(success=0.80)})
    sure = account(2, price=Price((Tier(0, 15_000),)), health={"": AccountHealth(success=0.99)})
    middle = account(3, price=Price((Tier(0, 3_000),)), health={"": AccountHealth(success=0.97)})
    chosen = {
        objective: decide(routing_request(), snapshot_with(cheap, sure, middle, objective=objective), MIDDLE).chosen
        for objective in Objective
    }
    assert chosen == {
        Objective.LOWEST_COST: cheap.account_id,
        Objective.HIGHEST_SUCCESS: sure.account_id,
        Objective.EXPECTED_VALUE: middle.account_id,
    }


def test_every_factor_stands_in_the_record_and_adds_up_to_the_score() -> None:
    candidate = account(1, preferred_by=frozenset({"gold"}), month_limit_minor=100_000, month_minor=40_000)
    weights = Weights(objective=0.5, latency=0.2, merchant=0.1, position=0.2)
    (evaluation,) = decide(
        routing_request(merchant_class="gold"), snapshot_with(candidate, weights=weights), MIDDLE
    ).evaluations
    factors = evaluation.factors
    assert factors["cost_minor"] == 60
    assert factors["merchant"] == 1.0
    assert factors["position"] == pytest.approx(0.6)
    assert evaluation.score == pytest.approx(
        0.5 * factors["objective"]
        + 0.2 * factors["latency"]
        + 0.1 * factors["merchant"]
        + 0.2 * factors["position"]
        + factors["rules"]
    )


def test_a_bank_in_trouble_is_left_at_one_channel_and_kept_when_it_is_in_trouble_everywhere() -> None:
    sick = {"": AccountHealth(), "cmb": AccountHealth(HealthState.OPEN, 0.0, success=0.1)}
    cheap, dear = account(1, price=Price(), health=sick), account(2)
    assert decide(routing_request(institution="cmb"), snapshot_with(cheap, dear), MIDDLE).chosen == dear.account_id
    assert decide(routing_request(institution="icbc"), snapshot_with(cheap, dear), MIDDLE).chosen == cheap.account_id
    both = snapshot_with(cheap, replace(dear, health=sick))
    assert decide(routing_request(institution="cmb"), both, MIDDLE).chosen == cheap.account_id


def test_an_open_channel_gets_nothing_but_as_the_default() -> None:
    closed = account(1, health=OPEN)
    assert decide(routing_request(), snapshot_with(closed), MIDDLE).chosen is None
    decision = decide(routing_request(), snapshot_with(closed, default="a1"), MIDDLE)
    assert (decision.chosen, decision.reason) == (closed.account_id, SelectionReason.DEFAULT)
    well = account(2, price=Price((Tier(0, 19_000),)))
    assert decide(routing_request(), snapshot_with(closed, well, default="a1"), MIDDLE).chosen == well.account_id


def test_a_probing_channel_gets_its_share_and_one_when_a_probe_is_due() -> None:
    probing = account(1, price=Price(), health={"": AccountHealth(HealthState.PROBING, 0.05)})
    well = account(2)
    low, high = replace(MIDDLE, share=0.049), replace(MIDDLE, share=0.05)
    assert decide(routing_request(), snapshot_with(probing, well), low).chosen == probing.account_id
    assert decide(routing_request(), snapshot_with(probing, well), high).chosen == well.account_id
    due = decide(routing_request(), snapshot_with(replace(probing, probe_due=True), well), high)
    assert (due.chosen, due.reason) == (probing.account_id, SelectionReason.PROBE)


def test_a_share_is_drawn_for_the_probing_one_whatever_its_score_and_not_against_a_list() -> None:
    """Little is known of it: by its score it would get nothing by which more could be known."""
    dear = account(1, price=Price((Tier(0, 15_000),)), health={"": AccountHealth(HealthState.PROBING, 0.25)})
    well = account(2, health={"": AccountHealth(success=0.99)})
    low, high = replace(MIDDLE, share=0.249), replace(MIDDLE, share=0.25)
    drawn = decide(routing_request(), snapshot_with(dear, well), low)
    assert (drawn.chosen, drawn.reason) == (dear.account_id, SelectionReason.PROBE)
    assert decide(routing_request(), snapshot_with(dear, well), high).chosen == well.account_id
    full = replace(dear, health={"": AccountHealth(HealthState.PROBING, 1.0)})
    assert decide(routing_request(), snapshot_with(full, well), low).chosen == well.account_id, (
        "from then on the score decides"
    )
    assert decide(routing_request(), snapshot_with(dear, well, priority=("a2", "a1")), low).chosen == well.account_id
    assert decide(routing_request(), snapshot_with(dear, well, pin="a2"), low).chosen == well.account_id


def test_modes_pins_priorities_and_splits() -> None:
    first, second, third = (account(number) for number in (1, 2, 3))
    ill = replace(first, health=OPEN)
    assert decide(routing_request(), snapshot_with(ill, second, mode=Mode.MANUAL), MIDDLE).chosen == first.account_id
    pinned = snapshot_with(first, second, pin="a2", pin_until=NOW + timedelta(seconds=1))
    assert decide(routing_request(), pinned, MIDDLE).reason is SelectionReason.PIN
    assert decide(routing_request(), pinned, MIDDLE).chosen == second.account_id
    assert decide(routing_request(at=NOW + timedelta(seconds=1)), pinned, MIDDLE).chosen == first.account_id
    listed = snapshot_with(first, second, third, priority=("a3", "a1"))
    assert decide(routing_request(), listed, MIDDLE).chosen == third.account_id
    shared = snapshot_with(first, second, third, split={"a1": 1, "a2": 3})
    draws = [replace(MIDDLE, split=(number + 0.5) / 100) for number in range(100)]
    chosen = [decide(routing_request(), shared, draw).chosen for draw in draws]
    assert [chosen.count(each.account_id) for each in (first, second, third)] == [25, 75, 0]


def test_tiers_bounds_and_subsidies_of_a_price() -> None:
    price = Price((Tier(0, 6_000, 10), Tier(1_000_000, 3_000)), min_minor=20, max_minor=50)
    costs = [
        price.ten_thousandths(amount, month)
        for amount, month in [(100, 0), (5_000, 0), (50_000, 0), (5_000, 1_000_000)]
    ]
    assert [cost / 10_000 for cost in costs] == [
        20, 40, 50, 20,
    ]  # fmt: skip
    assert Price((Tier(0, 6_000),), subsidy_ppm=2_000, subsidy_left_minor=100).ten_thousandths(10_000, 0) == 400_000
    assert Price((Tier(0, 6_000),), subsidy_ppm=2_000, subsidy_left_minor=5).ten_thousandths(10_000, 0) == 550_000


def test_an_account_excluded_by_only_names_the_reason() -> None:
    row = {"target": '"a2"', "action": '"only"', "text_en": '"contract with a2"', "text_zh": '"只走二号"'}
    rules = read_rules(table(row), accounts={"a1": "c1", "a2": "c2"})
    decision = decide(routing_request(), snapshot_with(account(1), account(2), rules=rules), MIDDLE)
    explanations = [
        (evaluation.refused, evaluation.explanation, evaluation.explanation_zh) for evaluation in decision.evaluations
    ]
    assert explanations == [("excluded_by_rule", "contract with a2", "只走二号"), ("", "", "")]


def test_the_formula_makes_the_score_from_the_factors() -> None:
    weights = Weights(objective=0.9, latency=0.2, merchant=0.1, position=0.3)
    policy = RoutingPolicy(weights=weights, objective=Objective.LOWEST_COST)
    snapshot = replace(snapshot_with(account(1)), policy=policy)
    [evaluation] = decide(routing_request(), snapshot, MIDDLE).evaluations
    assert policy.formula == "0.9 objective (lowest_cost) + 0.2 latency + 0.1 merchant + 0.3 position + rules"
    by_hand = sum(
        weight * evaluation.factors[name]
        for name, weight in (("objective", 0.9), ("latency", 0.2), ("merchant", 0.1), ("position", 0.3), ("rules", 1))
    )
    assert evaluation.score == pytest.approx(by_hand)
    record = read_record(write_record(routing_request(), snapshot, decide(routing_request(), snapshot, MIDDLE), ""))
    assert record.formula == policy.formula


def test_rules_block_prefer_and_say_why() -> None:
    rules = read_rules(
        table(
            {
                "method": '"card"',
                "amount_minor": "> 5000",
                "target": '"a1"',
                "action": '"block"',
                "text_en": '"no large cards"',
                "text_zh": '"不收大额银行卡"',
            },
            {
                "hour": "[9..17)",
                "target": '"c3"',
                "action": '"prefer"',
                "points": "0.5",
                "text_en": '"settles on the day"',
                "text_zh": '"当日到账"',
            },
        ),
        accounts={"a1": "c1", "a2": "c2", "a3": "c3"},
    )
    snapshot = snapshot_with(account(1, price=Price()), account(2), account(3), rules=rules)
    decision = decide(routing_request(), snapshot, MIDDLE)
    assert decision.chosen == UUID(int=3)
    assert [evaluation.refused for evaluation in decision.evaluations] == ["excluded_by_rule", "", ""]
    explanations = [(evaluation.explanation, evaluation.explanation_zh) for evaluation in decision.evaluations]
    assert explanations == [("no large cards", "不收大额银行卡"), ("", ""), ("settles on the day", "当日到账")]
    assert decide(routing_request(amount_minor=5_000, at=NOW + timedelta(hours=8)), snapshot, MIDDLE).chosen == UUID(
        int=1
    )
