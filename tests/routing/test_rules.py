"""A rule file that is not right is refused whole, with its line and the reason."""

from __future__ import annotations

import pytest

from hutong.routing.configuration.rules import read_rules
from hutong.routing.decide import facts
from hutong.routing.errors import RulesRefused
from support.fixtures.routing import NOW, routing_request, table

ACCOUNTS = {"a1": "c1", "a2": "c2"}
GOOD = {"method": '"card"', "target": '"a1"', "action": '"block"'}


def refused(source: str, **more: object) -> RulesRefused:
    with pytest.raises(RulesRefused) as caught:
        read_rules(source, accounts=ACCOUNTS, **more)  # type: ignore[arg-type]
    assert caught.value.detail.startswith(f"line {caught.value.line}: ")
    return caught.value


def line_of(source: str, text: str) -> int:
    return next(number for number, line in enumerate(source.splitlines(), 1) if text in line)


def test_a_file_that_does_not_parse_names_the_line() -> None:
    source = table(GOOD)
    broken = source.replace('"hitPolicy"', "hitPolicy")
    assert refused(broken).line == line_of(broken, "hitPolicy")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"amount_minor": "> > 5"}, "amount_minor: > > 5 cannot be read"),
        ({"target": '"nowhere"'}, "there is no account or channel nowhere"),
        ({"action": '"ban"'}, "ban is not an action"),
        ({"action": '"prefer"', "points": "1.1"}, "points must lie in 0–1"),
        ({"action": '"prefer"', "points": "-0.1"}, "points must lie in 0–1"),
        ({"action": '"prefer"', "points": "true"}, "points must lie in 0–1"),
        ({"text_en": "amount_minor"}, "text_en must be a plain value"),
    ],
)
def test_a_row_that_is_wrong_is_named(row: dict[str, str], reason: str) -> None:
    source = table(GOOD, GOOD | row)
    found = refused(source)
    assert found.line == line_of(source, "row-1")
    assert reason in found.detail


def test_an_unknown_field_is_named() -> None:
    source = table({"color": '"red"', "target": '"a1"', "action": '"block"'}, inputs=("color",))
    assert "color is no field of a payment" in refused(source).detail


@pytest.mark.parametrize("kind", ["functionNode", "expressionNode", "switchNode"])
def test_only_tables_are_taken(kind: str) -> None:
    assert kind in refused(table(GOOD).replace("inputNode", kind)).detail


def test_other_hit_policies_are_refused() -> None:
    assert "hitPolicy" in refused(table(GOOD).replace('"collect"', '"first"')).detail


def test_a_file_that_leaves_no_channel_to_any_payment_is_refused() -> None:
    rows = [{"target": '"a1"', "action": '"block"'}, {"amount_minor": ">= 0", "target": '"c2"', "action": '"block"'}]
    source = table(*rows)
    samples = [facts(routing_request()), facts(routing_request(amount_minor=1))]
    found = refused(source, samples=samples)
    assert found.line == line_of(source, "row-1")
    assert "every channel is excluded" in found.detail
    assert read_rules(table(rows[0]), accounts=ACCOUNTS, samples=samples)


def test_rows_that_match_speak_in_the_order_of_the_file() -> None:
    rules = read_rules(
        table(
            GOOD | {"text_zh": '"维护中"'},
            {"method": '"alipay_qr"', "target": '"a2"', "action": '"block"'},
            {"target": '"c2"', "action": '"prefer"', "points": "0.25"},
        ),
        accounts=ACCOUNTS,
    )
    matching = rules.evaluate(facts(routing_request(at=NOW)))
    assert [(row.target, row.action, row.points, row.text_zh) for row in matching] == [
        ("a1", "block", 0.0, "维护中"),
        ("c2", "prefer", 0.25, ""),
    ]
