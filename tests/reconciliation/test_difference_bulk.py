"""Many cases at once: by filter with a preview, and by a spreadsheet with a check of each line."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from difference_rows import missing, unexpected, waiting
from difference_world import Desk, decisions_of, public
from python_calamine import CalamineWorkbook

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter
from hutong.reconciliation import differences
from hutong.reconciliation.differences.sheets import Sheet
from hutong.reconciliation.model import DifferenceAction, DifferenceState
from support.fixtures.payments import World

_A, _S = DifferenceAction, DifferenceState
TODAY = date(2026, 11, 9)


@pytest.fixture
def desk(database: Database, clock: ManualClock) -> Desk:
    return Desk(World(database, clock))


async def previewed(
    desk: Desk, action: DifferenceAction, **where: object
) -> tuple[differences.Checked, list[differences.CaseDecision]]:
    """A preview, and the decisions that it is of."""
    operator, now = await desk.operator(), desk.world.clock.now()
    selected = differences.DifferenceFilter(account_id=desk.account_id, **where)  # type: ignore[arg-type]
    async with desk.world.database.transaction() as tx:
        seen = await differences.preview(tx, selected, action, reason="rounding", operator=operator, now=now)
        return seen, await differences.select_decisions(tx, selected, action, reason="rounding")


async def test_a_preview_counts_and_adds_up_and_its_digest_does_exactly_that(desk: Desk) -> None:
    await desk.record([unexpected("a", 3), missing("b", 2), waiting("ours", "c", 1), unexpected("d", 900)])
    seen, decisions = await previewed(desk, _A.WRITE_OFF, at_most=5)
    document = differences.preview_document(seen)
    assert document == {
        "object": "difference_preview",
        "digest": document["digest"],
        "count": 2,
        "totals": {"CNY": {"count": 2, "long_minor": 3, "short_minor": 2}},
        "needs_approval": True,
        "refused": 1,
        "reasons": {"the difference waits for the next file": 1},
    }
    assert {case.state for case in await desk.cases(at_most=5)} == {_S.OPEN, _S.ROLLED}
    decided = await desk.decide(*decisions, digest=document["digest"])
    await desk.approve(decided)
    assert [(await desk.case(key)).state for key in "abcd"] == [_S.RESOLVED, _S.RESOLVED, _S.ROLLED, _S.OPEN]
    assert await desk.balances(2301, 4002, 5003) == [-900, -3, 2]
    await desk.suspense_holds()


async def test_another_list_than_the_previewed_one_is_refused(desk: Desk) -> None:
    await desk.record([unexpected("a", 3)])
    seen, decisions = await previewed(desk, _A.WRITE_OFF)
    await desk.record([unexpected("a", 4)])
    with pytest.raises(Conflict, match="have changed since the preview"):
        await desk.decide(*decisions, digest=seen.digest)


async def test_half_of_a_list_is_refused_by_line_and_the_other_half_gets_its_vouchers(
    desk: Desk, tmp_path: Path
) -> None:
    rows = [unexpected(f"k{number:03}", 100 + number) for number in range(60)]
    await desk.record(rows)
    cases = await desk.cases()
    settled = await desk.settle("k001", _A.WRITE_OFF)
    lines = list(csv.DictReader(io.StringIO(differences.write_sheet(cases, today=TODAY).lstrip("\ufeff"))))
    for number, line in enumerate(lines):
        line |= {"decision": "write_off", "reason": f"row {number}"}
    planted = {
        10: ({"decision": "claim"}, "claim is not possible for a long amount"),
        11: ({"content": "c0000000000000000"}, "the difference has changed since it was exported"),
        12: ({"id": public(desk.world.ids.new())}, "no difference has this id"),
        13: ({"id": "nonsense"}, "the id is not that of a difference"),
        14: ({"reason": ""}, "the reason is missing"),
        15: ({"reason": '=HYPERLINK("x")'}, "the reason begins like a formula"),
        16: ({"decision": "give it away"}, "the decision is not an action"),
        17: ({"id": lines[18]["id"], "content": lines[18]["content"]}, None),
        18: ({}, "the difference is decided twice in this list"),
    }
    for place, (change, _) in planted.items():
        lines[place] |= change
    sheet = _written(lines, tmp_path / "decided.csv")
    decided = await desk.decide(*sheet.decisions)
    faults = {fault["line"]: fault["reason"] for fault in differences.write_faults(sheet, decided.refused)}
    expected = {place + 2: reason for place, (_, reason) in planted.items() if reason is not None}
    resolved = next(place for place, line in enumerate(lines) if line["id"] == public(settled.difference_id))
    expected[resolved + 2] = "the difference is resolved"
    assert faults == expected
    await desk.approve(decided)
    done = [case for case in await desk.cases(states=(_S.RESOLVED,)) if case.key != "k001"]
    assert len(done) == len(sheet.decisions) - len(decided.refused)
    assert all(case.voucher is not None for case in done)
    await desk.suspense_holds()


async def test_a_sheet_of_excel_is_read_and_lines_without_a_decision_decide_nothing(desk: Desk, tmp_path: Path) -> None:
    await desk.record([unexpected("a", 5), unexpected("b", 7)])
    cases = await desk.cases()
    lines = list(csv.DictReader(io.StringIO(differences.write_sheet(cases, today=TODAY).lstrip("\ufeff"))))
    lines[0] |= {"decision": "WRITE_OFF", "reason": "对账尾差"}
    sheet = _written(lines, tmp_path / "semicolons.csv", delimiter=";", encoding="gb18030")
    assert sheet.decisions == [
        differences.CaseDecision(cases[0].difference_id, _A.WRITE_OFF, "对账尾差", None, cases[0].content[:16])
    ]
    assert (sheet.lines, sheet.faults) == ([2], [])


async def test_a_workbook_has_the_lines_of_the_csv_as_text_and_is_read_back(desk: Desk, tmp_path: Path) -> None:
    await desk.record([unexpected("=1+1", 5), unexpected("00123", 700), missing("c", 10**14 + 1)])
    cases = await desk.cases()
    lines = list(csv.DictReader(io.StringIO(differences.write_sheet(cases, today=TODAY).lstrip("\ufeff"))))
    file = tmp_path / "export"
    file.write_bytes(differences.write_workbook(cases, today=TODAY))
    rows = CalamineWorkbook.from_path(str(file)).get_sheet_by_index(0).to_python()
    read = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert [line | {"key": line["key"].lstrip("'")} for line in lines] == read
    assert differences.read_sheet(file) == Sheet()
    assert differences.write_sheet([], today=TODAY).startswith("\ufeffid,content,account")


def test_a_workbook_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b" " * (2 << 20))
    with pytest.raises(InvalidParameter, match="not a spreadsheet"):
        differences.read_sheet(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"id,decision,reason\n", "lacks the column content"),
        (b"\xff\xff\xff\xff", "neither in UTF-8 nor in GB 18030"),
    ],
)
def test_a_file_that_is_no_export_is_refused_whole(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "sheet.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidParameter, match=message):
        differences.read_sheet(file)


def test_a_broken_workbook_is_refused_whole(tmp_path: Path) -> None:
    file = tmp_path / "sheet.xlsx"
    file.write_bytes(b"PK\x03\x04 nothing else")
    with pytest.raises(InvalidParameter, match="not a spreadsheet"):
        differences.read_sheet(file)


async def test_an_export_cannot_run_formulas(desk: Desk) -> None:
    await desk.record([unexpected("=cmd|' /C calc'!A0", 5)])
    sheet = differences.write_sheet(await desk.cases(), today=TODAY)
    assert ",=cmd" not in sheet
    assert ",'=cmd" in sheet


async def test_a_claim_of_a_list_needs_no_second_person_and_is_done_at_once(desk: Desk) -> None:
    await desk.record([missing("a", 5), unexpected("b", 5)])
    decided = await desk.decide(*decisions_of(await desk.cases(), _A.CLAIM))
    assert decided.proposal is None
    assert [public(each) for each in decided.done] == [public((await desk.case("a")).difference_id)]
    assert [refused.reason for refused in decided.refused] == ["claim is not possible for a long amount"]


def _written(lines: list[dict[str, str]], path: Path, *, delimiter: str = ",", encoding: str = "utf-8-sig") -> Any:
    output = io.StringIO()
    writer = csv.DictWriter(output, fieldnames=list(lines[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(lines)
    path.write_bytes(output.getvalue().encode(encoding))
    return differences.read_sheet(path)
