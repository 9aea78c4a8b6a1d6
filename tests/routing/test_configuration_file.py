"""Errors in a file are reported with their line, whichever way the file holds its rules."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.routing import ConfigurationFile
from hutong.routing.configuration.file import _walk
from hutong.routing.errors import ConfigurationRefused, RulesRefused
from support.fixtures.routing import account, table

ACCOUNTS = [account(1), account(2)]
BLOCK = [{"target": f'"a{number}"', "action": '"block"'} for number in (1, 2)]


def refused(source: str) -> ConfigurationRefused | RulesRefused:
    with pytest.raises((ConfigurationRefused, RulesRefused)) as caught:
        ConfigurationFile(source).check(version=1, candidates=ACCOUNTS)
    return caught.value


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{\n,", "line 2: not JSON"),
        ("[]", "line 1: not a JSON object"),
        ('{"policies": {},\n"policies": {}}', "line 2: policies is given twice"),
        ('{"policies": {"": {\n"explore": NaN}}}', "not JSON: NaN is not a JSON number"),
        ('{\n\n"acounts": {}}', "line 3: `acounts` is not known"),
        ('{"policies": {"":\n{"weights":\n{"latency": 1.5}}}}', "line 3: `policies..weights.latency` must"),
        ('{"policies": {"":\n{"weights":\n{"objective": -0.1}}}}', "line 3: `policies..weights.objective` must"),
        ('{"policies": {"": {"priority": ["a1",\n"a3"]}}}', "line 2: policies..priority.1: there is no account a3"),
        ('{"policies": {"": {"split": {"a1": 1,\n"a3": 1}}}}', "line 2: policies..split.a3: there is no account a3"),
        ('{"accounts": {\n"a1": {"price":\n{}}}}', "line 3: `accounts.a1.price.tiers` is required"),
        ('{"accounts": {"a1": {"month_limit_minor": 0},\n"a2": {"merchants": []}}}',
         "line 2: accounts.a2: with this every channel is excluded"),
        ("[" * 100_000, "line 1: "),
    ],
)  # fmt: skip
def test_an_error_is_reported_with_its_line(source: str, says: str) -> None:
    assert refused(source).detail.startswith(says) or says in refused(source).detail


def test_rules_in_a_file_of_their_own_take_the_place_of_those_in_force() -> None:
    active = {"policies": {"": {"objective": "lowest_cost"}, "x": {}}}
    draft = ConfigurationFile(table(BLOCK[0]), active=active)
    assert draft.document["policies"][""]["objective"] == "lowest_cost"
    assert draft.check(version=1, candidates=ACCOUNTS).policies[""].rules is not None
    assert active == {"policies": {"": {"objective": "lowest_cost"}, "x": {}}}


def test_rules_that_exclude_every_channel_are_refused_with_the_line_of_the_last() -> None:
    source = table(*BLOCK)
    line = next(number for number, text in enumerate(source.splitlines(), 1) if "row-1" in text)
    assert refused(source).detail == f"line {line}: policies..rules: with this rule every channel is excluded"
    inside = f'{{"policies": {{\n"": {{"rules":\n{source}}}}}}}'
    assert refused(inside).detail.startswith(f"line {line + 2}: policies..rules: ")
    as_text = json.dumps({"policies": {"": {"rules": source}}}, indent=1)
    assert refused(as_text).detail.startswith(f"line 4: policies..rules, line {line}: ")


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([None, 0, 2]))
def test_the_place_of_each_value_is_found(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    spans: dict[tuple[str, ...], tuple[int, int]] = {}
    assert _walk(text, 0, (), spans) == len(text)
    for path, (start, end) in spans.items():
        part_value = value
        for part in path:
            part_value = part_value[int(part)] if isinstance(part_value, list) else part_value[part]  # type: ignore[index]
        assert json.loads(text[start:end]) == part_value
