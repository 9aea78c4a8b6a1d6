"""The database's differences, resolved ones too, are compared with what the files of their days give rise to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from difference_world import Desk, decisions_of

from hutong import ids
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import InvalidParameter
from hutong.reconciliation import differences
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.layers import LAYERS
from hutong.reconciliation.model import DifferenceAction, DifferenceState, Layer
from hutong.reconciliation.runs.results import read_results
from hutong.reconciliation.verify import Finding, compare_with_list
from reconciliation.kept_days import ACCOUNT, LIMITS, keep_days
from support.fixtures.payments import World

_S = DifferenceState
Case = dict[str, Any]
Find = Callable[[list[Case]], Finding | None]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Sequence[RunFolder]:
    return keep_days(tmp_path_factory.mktemp("kept") / "days")


@pytest.fixture
async def cases(database: Database, clock: ManualClock, kept: Sequence[RunFolder]) -> list[Case]:
    """The list of all differences after two days: some are written off on the first, some matched on the second."""
    desk = Desk(World(database, clock))
    desk.account_id = ids.decode("acc", ACCOUNT)
    async with database.transaction() as tx:
        known = await tx.fetchval(
            "SELECT count(*) FROM reconciliation.difference WHERE account_id = $1", desk.account_id
        )
    if not known:
        for folder in kept:
            for layer in (Layer.PAYMENT_BILL, Layer.REFUND_BILL):
                results = read_results(folder, LAYERS[layer], LIMITS)
                await desk.record(results.differences, day=folder.day, layer=layer, late=results.matched_late)
            if folder is kept[0]:
                chosen = (await desk.cases(states=(_S.OPEN,)))[:4]
                await desk.approve(await desk.decide(*decisions_of(chosen, DifferenceAction.WRITE_OFF)))
    listed = await desk.cases(states=tuple(_S))
    return [differences.difference_document(case, today=kept[1].day) for case in listed]


@pytest.fixture
def find(kept: Sequence[RunFolder], tmp_path: Path) -> Find:
    def work(listed: list[Case]) -> Finding | None:
        path = tmp_path / "listed.json"
        path.write_text(json.dumps({"differences": listed}))
        return compare_with_list(kept, path, LIMITS)

    return work


def resolved(cases: list[Case], action: str) -> Case:
    return next(case for case in cases if (case["state"], case["action"]) == ("resolved", action))


def test_what_is_open_and_what_is_resolved_agrees_with_the_files(cases: list[Case], find: Find) -> None:
    assert len([case for case in cases if case["action"] == "write_off"]) == 4
    assert resolved(cases, "match")
    assert any(case["state"] == "rolled" for case in cases)
    assert find(cases) is None


@pytest.mark.parametrize(
    ("action", "changed", "reason"),
    [
        ("write_off", {"amount_minor": 7}, "amount_minor=7, and"),
        ("write_off", {"content": "0" * 64}, "content=0000"),
        ("write_off", {"currency": "XTS"}, "currency=XTS"),
        ("write_off", {"class": "ambiguous"}, "does not have this difference"),
        ("write_off", {"layer": "payout_bill"}, "does not have this difference"),
        ("write_off", {"suspense_minor": 3}, "3 of it are in suspense"),
        ("write_off", {"action": "match"}, "matched, and the files state it"),
        ("match", {"action": "write_off"}, "no file gives rise"),
        ("match", {"state": "open"}, "no file gives rise"),
    ],
)
def test_a_resolved_difference_that_was_changed_is_found(
    cases: list[Case], find: Find, action: str, changed: Case, reason: str
) -> None:
    chosen = resolved(cases, action)
    finding = find([case | changed if case is chosen else case for case in cases])
    assert finding is not None
    assert reason in finding.reason
    assert finding.line > 0


def test_one_that_is_resolved_as_explained_needs_what_explains_it(cases: list[Case], find: Find) -> None:
    finding = find([*cases, resolved(cases, "match") | {"key": "nobody"}])
    assert finding is not None
    assert (finding.line, finding.file.name) == (len(cases) + 1, "listed.json")
    assert "no match of its last day explains it" in finding.reason


def test_a_difference_that_is_left_out_or_waits_otherwise_is_found(cases: list[Case], find: Find) -> None:
    for chosen in (resolved(cases, "write_off"), next(case for case in cases if case["state"] == "open")):
        finding = find([case for case in cases if case is not chosen])
        assert finding is not None
        assert (finding.file.parent.name, "does not have" in finding.reason) == ("results", True)
    rolled = next(case for case in cases if case["state"] == "rolled")
    finding = find([case | {"state": "open"} if case is rolled else case for case in cases])
    assert finding is not None
    assert "its row waits" in finding.reason


def test_something_else_than_a_list_is_refused(kept: Sequence[RunFolder], tmp_path: Path) -> None:
    path = tmp_path / "listed.json"
    path.write_text('[{"account_id": "' + ACCOUNT + '"}]')
    with pytest.raises(InvalidParameter, match="not a list of differences"):
        compare_with_list(kept, path, LIMITS)
