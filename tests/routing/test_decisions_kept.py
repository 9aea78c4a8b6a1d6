"""Decisions that were written down long ago are made again exactly, and are made without asking anybody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hutong import routing
from hutong.routing import RoutingPolicy, choose, read_record, read_rules
from support.fixtures.routing import MIDDLE, account, ask, table, world

_KEPT = json.loads((Path(__file__).parent / "kept_decisions.json").read_text())
_NAMES = {f"a{number}": f"c{number}" for number in range(1, 6)}


def without_words(verdict: routing.Evaluation) -> routing.Evaluation:
    return replace(verdict, explanation="", explanation_zh="")


@pytest.mark.parametrize("text", _KEPT["records"])
def test_a_decision_of_an_older_version_is_made_again(text: str) -> None:
    record = read_record(text)
    rules = read_rules(_KEPT["rules"], accounts=_NAMES)
    policy = RoutingPolicy(version=3, explore=0.1, default="a1", rules=rules)
    configuration = routing.Configuration(3, {"": policy})
    again = routing.again(record, routing.base_of(routing.read_basis(_KEPT["basis"]), configuration), configuration)
    assert (again.chosen, again.how) == (record.chosen, record.how)
    # These were written before the words of rules that take an account away were kept.
    assert [without_words(one) for one in again.verdicts] == [without_words(one) for one in record.verdicts]


def test_a_decision_written_now_is_read_as_it_was_made() -> None:
    candidates = (account(1), account(2, merchants=frozenset({"other"})))
    asked = ask(tried=frozenset({account(3).account_id}), payer=frozenset({"institution"}), institution="cmb")
    snapshot = world(*candidates, pin="a1", pin_until=ask().at)
    decision = choose(asked, snapshot, MIDDLE)
    digest, basis = routing.basis_of(candidates)
    record = read_record(routing.write_record(asked, snapshot, decision, digest))
    assert (record.ask, record.verdicts, record.draws) == (asked, decision.verdicts, MIDDLE)
    assert (
        routing.snapshot_of(record, routing.base_of(routing.read_basis(basis), routing.UNCONFIGURED), snapshot.policy)
        == snapshot
    )


def test_all_tables_of_a_file_are_heard() -> None:
    model = json.loads(table({"method": '"card"', "target": '"a1"', "action": '"block"'}))
    first = next(node for node in model["nodes"] if node["type"] == "decisionTableNode")
    row = {"_id": "more", "out_target": '"a2"', "out_action": '"block"'}
    model["nodes"].append({**first, "id": "t2", "content": {**first["content"], "rules": [row]}})
    model["edges"] += [
        {"id": "e3", "sourceId": "in", "targetId": "t2", "type": "edge"},
        {"id": "e4", "sourceId": "t2", "targetId": "out", "type": "edge"},
    ]
    rules = read_rules(json.dumps(model), accounts=_NAMES)
    assert [said.target for said in rules.ask(routing.facts(ask()))] == ["a1", "a2"]
