"""Decisions that older versions recorded are made again exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hutong.routing.configuration.configuration import UNCONFIGURED, Configuration
from hutong.routing.configuration.rules import read_rules
from hutong.routing.decide import decide, facts
from hutong.routing.decisions.record import (
    capability_snapshot,
    configured_accounts,
    read_capabilities,
    read_record,
    snapshot_of,
    write_record,
)
from hutong.routing.decisions.replay import decide_again
from hutong.routing.model import Evaluation, RoutingPolicy
from support.fixtures.routing import MIDDLE, account, routing_request, snapshot_with, table

_KEPT = json.loads((Path(__file__).parent / "kept_decisions.json").read_text())
_NAMES = {f"a{number}": f"c{number}" for number in range(1, 6)}


def without_explanations(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, explanation="", explanation_zh="")


@pytest.mark.parametrize("text", _KEPT["records"])
def test_a_decision_of_an_older_version_is_made_again(text: str) -> None:
    record = read_record(text)
    rules = read_rules(_KEPT["rules"], accounts=_NAMES)
    policy = RoutingPolicy(version=3, explore=0.1, default="a1", rules=rules)
    configuration = Configuration(3, {"": policy})
    again = decide_again(record, configured_accounts(read_capabilities(_KEPT["basis"]), configuration), configuration)
    assert (again.chosen, again.reason) == (record.chosen, record.reason)
    # These are older than the explanations of rules that exclude an account.
    assert [without_explanations(each) for each in again.evaluations] == [
        without_explanations(each) for each in record.evaluations
    ]


def test_a_record_is_read_as_it_was_written() -> None:
    candidates = (account(1), account(2, merchants=frozenset({"other"})))
    payment = routing_request(
        tried=frozenset({account(3).account_id}), payer=frozenset({"institution"}), institution="cmb"
    )
    snapshot = snapshot_with(*candidates, pin="a1", pin_until=routing_request().at)
    decision = decide(payment, snapshot, MIDDLE)
    capabilities = capability_snapshot(candidates)
    record = read_record(write_record(payment, snapshot, decision, capabilities.digest))
    assert (record.request, record.evaluations, record.draws) == (payment, decision.evaluations, MIDDLE)
    accounts = configured_accounts(read_capabilities(capabilities.document), UNCONFIGURED)
    assert snapshot_of(record, accounts, snapshot.policy) == snapshot


def test_all_tables_of_a_file_are_evaluated() -> None:
    model = json.loads(table({"method": '"card"', "target": '"a1"', "action": '"block"'}))
    first = next(node for node in model["nodes"] if node["type"] == "decisionTableNode")
    row = {"_id": "more", "out_target": '"a2"', "out_action": '"block"'}
    model["nodes"].append({**first, "id": "t2", "content": {**first["content"], "rules": [row]}})
    model["edges"] += [
        {"id": "e3", "sourceId": "in", "targetId": "t2", "type": "edge"},
        {"id": "e4", "sourceId": "t2", "targetId": "out", "type": "edge"},
    ]
    rules = read_rules(json.dumps(model), accounts=_NAMES)
    assert [row.target for row in rules.evaluate(facts(routing_request()))] == ["a1", "a2"]
