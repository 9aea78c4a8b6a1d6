"""No payment ever goes to an account that cannot take it: an oracle written in another way says which can."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.routing import RoutingRequest
from hutong.routing.configuration.calendar import Window
from hutong.routing.configuration.price import Price, Tier
from hutong.routing.configuration.rules import read_rules
from hutong.routing.decide import decide
from hutong.routing.health import AccountHealth, HealthState
from hutong.routing.model import Candidate, Draws, Mode
from support.fixtures.routing import MIDDLE, NOW, account, routing_request, snapshot_with, table

BANKS = ["", "cmb", "icbc"]
SHOPS = ["", "shop", "other"]
DAYS = [NOW.date(), NOW.date() + timedelta(days=1), date(2026, 10, 1)]
ROWS = [
    {},
    {"target": '"a1"', "action": '"block"'},
    {"target": '"c2"', "action": '"block"', "method": '"card"'},
    {"target": '"a3"', "action": '"only"', "amount_minor": "> 10000"},
    {"target": '"a1"', "action": '"only"', "hour": "[9..17]"},
    {"target": '"a2"', "action": '"prefer"', "points": "1"},
]
RULES = {
    (one, two): read_rules(table(*(row for row in (ROWS[one], ROWS[two]) if row)), accounts=None)
    for one in range(len(ROWS))
    for two in range(one, len(ROWS))
}


def oracle(account: Candidate, payment: RoutingRequest, rows: list[dict[str, str]], pin: str) -> bool:
    """What an account can take, from its description alone: by sets of what there is, in minutes of the local week."""
    limits = {"CNY": account.month_limit_minor, **account.month_limit_minor_of}
    taken = {"CNY": account.month_minor, **account.month_minor_of}.get(payment.currency, account.month_minor)
    limit = limits.get(payment.currency, account.month_limit_minor)
    beijing = payment.at.replace(tzinfo=None) + timedelta(hours=8)
    minute = beijing.hour * 60 + beijing.minute
    open_minutes = [
        set(range(window.start.hour * 60 + window.start.minute, window.end.hour * 60 + window.end.minute))
        for window in account.hours
        if beijing.isoweekday() - 1 in window.weekdays and beijing.date() not in window.closed_on
    ]
    matching = [row for row in rows if row and holds(row, payment, beijing.hour)]
    named = {f'"{account.name}"', f'"{account.channel}"'}
    allowed = {row["target"] for row in matching if row["action"] == '"only"'}
    most, most_of = account.amount_minor_max, dict(account.amount_minor_max_of)
    limits_of = {account.amount_minor_min, account.amount_minor_min_of.get(payment.currency, 1)}
    return not (
        {payment.method} - account.methods
        or {payment.currency} - account.currencies
        or [of for name, of in account.currencies_of.items() if name == payment.method and payment.currency not in of]
        or payment.amount_minor not in range(max(limits_of), most_of.get(payment.currency, most) + 1)
        or (payment.institution and account.institutions and {payment.institution} - account.institutions)
        or (account.merchants is not None and {payment.merchant} - account.merchants)
        or account.blocked
        or account.account_id in payment.tried
        or any(not (payment.at < start or payment.at >= end) for start, end in account.maintenance)
        or (account.hours and not any(minute in minutes for minutes in open_minutes))
        or (limit is not None and limit - taken - payment.amount_minor < 0)
        or (payment.manual and {payment.method} - account.manual)
        or account.requires.get(payment.method, frozenset()) - payment.payer
        or any(row["action"] == '"block"' and row["target"] in named for row in matching)
        or (allowed and not allowed & named)
        or (pin and pin != account.name)
    )


def holds(row: dict[str, str], payment: RoutingRequest, hour: int) -> bool:
    return (
        ("method" not in row or payment.method == "card")
        and ("amount_minor" not in row or payment.amount_minor > 10_000)
        and ("hour" not in row or 9 <= hour <= 17)
    )


def subset(*values: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(values), min_size=1)


WINDOWS = st.builds(
    Window,
    st.frozensets(st.integers(0, 6)),
    st.builds(time, st.integers(0, 12), st.sampled_from([0, 30])),
    st.builds(time, st.integers(13, 23), st.sampled_from([0, 30])),
    st.frozensets(st.sampled_from(DAYS), max_size=1),
)
HEALTH = st.sampled_from(
    [
        {},
        {"": AccountHealth(HealthState.OPEN, 0.0)},
        {"": AccountHealth(HealthState.PROBING, 0.05)},
        {"cmb": AccountHealth(HealthState.OPEN, 0.0)},
    ]
)
SMALL = st.sampled_from([1, 5_000, 10_000, 20_000])


def mostly(usual: Any, rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What leaves an account in most of the time: with everything at random nothing would ever fit."""
    return st.one_of(st.just(usual), st.just(usual), st.just(usual), rare)


ACCOUNTS = st.builds(
    account,
    st.integers(1, 5),
    methods=mostly(frozenset({"card", "qr"}), subset("card", "qr")),
    currencies=mostly(frozenset({"CNY", "USD"}), subset("CNY", "USD")),
    currencies_of=mostly({}, st.fixed_dictionaries({"qr": subset("CNY", "USD", "EUR")})),
    amount_minor_min=mostly(1, SMALL),
    amount_minor_max=mostly(1_000_000, SMALL),
    amount_minor_min_of=mostly({}, st.fixed_dictionaries({"USD": SMALL})),
    amount_minor_max_of=mostly({}, st.fixed_dictionaries({"USD": SMALL})),
    institutions=mostly(frozenset(), subset("cmb", "icbc")),
    merchants=mostly(None, st.frozensets(st.sampled_from(SHOPS))),
    month_limit_minor=mostly(None, SMALL),
    month_limit_minor_of=mostly({}, st.dictionaries(st.sampled_from(["CNY", "USD"]), SMALL)),
    month_minor=st.sampled_from([0, 0, 5_000]),
    month_minor_of=mostly({}, st.dictionaries(st.sampled_from(["CNY", "USD"]), SMALL)),
    hours=mostly((), st.lists(WINDOWS, min_size=1, max_size=2).map(tuple)),
    maintenance=mostly((), st.just(((NOW, NOW + timedelta(hours=1)),))),
    blocked=mostly("", st.just("no")),
    requires=mostly({}, st.just({"card": frozenset({"openid"})})),
    manual=mostly(frozenset({"card", "qr"}), subset("card", "qr")),
    health=HEALTH,
    probe_due=st.booleans(),
    price=st.builds(lambda ppm: Price((Tier(0, ppm),)), st.integers(0, 20_000)),
)
PAYMENTS = st.builds(
    RoutingRequest,
    st.sampled_from(["card", "card", "qr"]),
    st.sampled_from([1, 4_999, 5_000, 10_000, 10_001, 20_000]),
    st.sampled_from(["CNY", "CNY", "USD"]),
    st.sampled_from([-1, 0, 30, 60, 61, 300, 720, 1440, 2000]).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    merchant=st.sampled_from(SHOPS),
    institution=st.sampled_from(BANKS),
    tried=st.frozensets(st.builds(UUID, int=st.integers(1, 5)), max_size=1),
    manual=st.booleans(),
    payer=st.sampled_from([frozenset(), frozenset({"openid"})]),
)
UNIT = st.floats(0, 1, exclude_max=True)
POLICIES = st.fixed_dictionaries(
    {
        "mode": st.sampled_from([Mode.AUTO, Mode.MANUAL]),
        "default": st.sampled_from([None, "*", "a1"]),
        "priority": st.sampled_from([(), ("a2", "a1")]),
        "split": st.sampled_from([{}, {"a1": 1, "a3": 2}]),
        "explore": st.sampled_from([0.0, 1.0]),
    }
)


@settings(max_examples=150)
@given(
    st.lists(ACCOUNTS, min_size=1, max_size=5, unique_by=lambda candidate: candidate.account_id),
    PAYMENTS,
    st.sampled_from(sorted(RULES)),
    st.sampled_from(["", "", "", "a2"]),
    st.builds(Draws, UNIT, UNIT, UNIT, UNIT),
    POLICIES,
)
def test_what_routing_chooses_the_oracle_allows_and_what_it_refuses_the_oracle_does_not(
    accounts: list[Candidate],
    payment: RoutingRequest,
    rules: tuple[int, int],
    pin: str,
    draws: Draws,
    policy: dict[str, Any],
) -> None:
    snapshot = snapshot_with(*accounts, pin=pin, rules=RULES[rules], **policy)
    decision = decide(payment, snapshot, draws)
    rows = [ROWS[rules[0]], ROWS[rules[1]]]
    able = {each.account_id for each in accounts if oracle(each, payment, rows, pin)}
    assert decision.chosen is None or decision.chosen in able
    for evaluation in decision.evaluations:
        by_filter = evaluation.refused not in ("", "health_open", "health_probing")
        assert by_filter == (evaluation.account_id not in able), (evaluation.refused, payment)


def test_a_limit_holds_for_its_currency_alone() -> None:
    both = account(
        1,
        currencies=frozenset({"CNY", "USD"}),
        month_limit_minor=30_000,
        month_limit_minor_of={"USD": 15_000},
        month_minor_of={"CNY": 20_000, "USD": 5_001},
    )
    assert decide(routing_request(currency="CNY"), snapshot_with(both), MIDDLE).chosen == both.account_id
    dollars = decide(routing_request(currency="USD"), snapshot_with(both), MIDDLE)
    assert (dollars.chosen, dollars.evaluations[0].refused) == (None, "month_limit_reached")
    assert (
        decide(routing_request(currency="USD", amount_minor=9_999), snapshot_with(both), MIDDLE).chosen
        == both.account_id
    )


def test_a_window_goes_by_its_own_zone() -> None:
    utc = account(1, hours=(Window(start=time(4), end=time(5), utc_offset_minutes=0),))
    noon_in_utc: datetime = NOW
    assert decide(routing_request(at=noon_in_utc), snapshot_with(utc), MIDDLE).chosen == utc.account_id
    assert decide(routing_request(at=noon_in_utc + timedelta(hours=1)), snapshot_with(utc), MIDDLE).chosen is None
