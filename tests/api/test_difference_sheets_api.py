"""Differences over HTTP as spreadsheets: exported by filter, and taken back with a refusal of each wrong line."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any

import pytest
from python_calamine import CalamineWorkbook
from test_bad_input import check_problem
from test_differences_api import BASE, DAY, ROOT, difference_of
from xlsxwriter import Workbook

from hutong import ids
from hutong.db import Tx
from hutong.operators import Role
from hutong.reconciliation import differences
from hutong.reconciliation.model import Layer
from support.running_platform import Answer, PlatformApi

SHEETS = f"{ROOT}/difference-sheets?reason=month"
BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture
async def account(platform_api: PlatformApi) -> str:
    """The public id of an account with four cases, a to d."""
    account_id = platform_api.ids.new()

    async def record(tx: Tx) -> None:
        await differences.record(
            tx, account_id=account_id, day=DAY, layer=Layer.PAYMENT_BILL,
            rows=[difference_of(key, amount) for key, amount in zip("abcd", (500, 600, 700, 800), strict=True)],
            matched_late=(), now=platform_api.clock.now(), new_id=platform_api.ids.new,
        )  # fmt: skip

    await platform_api.database.run(record)
    return ids.encode("acc", account_id)


async def exported(platform_api: PlatformApi, account: str, form: str, query: str = "") -> list[dict[str, str]]:
    """The lines of an export, oldest case first."""
    _, viewer = await platform_api.person(Role.VIEWER)
    answer = await platform_api.call("GET", f"{BASE}/export?account={account}&form={form}{query}", headers=viewer)
    assert answer.status == 200, answer.body
    assert f'.{form}"' in answer.headers["content-disposition"]
    if form == "csv":
        return sorted(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))), key=lambda line: line["key"])
    rows = CalamineWorkbook.from_filelike(io.BytesIO(answer.body)).get_sheet_by_index(0).to_python()
    lines = [dict(zip(map(str, rows[0]), map(str, row), strict=True)) for row in rows[1:]]
    return sorted(lines, key=lambda line: line["key"])


def written(lines: list[dict[str, str]], form: str) -> bytes:
    if form == "csv":
        output = io.StringIO()
        writer = csv.DictWriter(output, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
        return output.getvalue().encode("utf-8-sig")
    packed = io.BytesIO()
    with Workbook(packed) as workbook:
        sheet = workbook.add_worksheet()
        for row, values in enumerate([list(lines[0]), *(list(line.values()) for line in lines)]):
            sheet.write_row(row, 0, values)
    return packed.getvalue()


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_an_export_is_decided_and_taken_back_and_each_wrong_line_is_named(
    platform_api: PlatformApi, account: str, form: str
) -> None:
    lines = await exported(platform_api, account, form)
    assert [(line["key"], line["amount"]) for line in lines] == [
        ("a", "5.00"), ("b", "6.00"), ("c", "7.00"), ("d", "8.00"),
    ]  # fmt: skip
    lines[0] |= {"decision": "write_off", "reason": "rounding"}
    lines[1] |= {"decision": "claim", "reason": "wrong sign"}
    lines[2] |= {"decision": "nonsense", "reason": "x"}
    _, maker = await platform_api.person(Role.OPERATOR)
    answer = await platform_api.call("POST", SHEETS, headers=maker | BINARY, body=written(lines, form))
    assert answer.status == 201, answer.body
    decided = answer.json
    assert [(each["line"], each["id"], each["reason"]) for each in decided["refused"]] == [
        (3, lines[1]["id"], "claim is not possible for a long amount"),
        (4, lines[2]["id"], "the decision is not an action"),
    ]
    assert (decided["done"], decided["proposal"]["payload"]["totals"]["CNY"]["count"]) == ([], 1)
    _, checker = await platform_api.person(Role.APPROVER)
    approve = f"/v1/operator/proposals/{decided['proposal']['id']}/approve"
    assert (await platform_api.call("POST", approve, headers=checker, json={"reason": "seen"})).status == 200
    left = await exported(platform_api, account, form, "&at_most=750")
    assert [line["key"] for line in left] == ["b", "c"]


async def test_a_sheet_is_refused_whole_by_its_role_its_form_and_its_reason(
    platform_api: PlatformApi, account: str
) -> None:
    _, viewer = await platform_api.person(Role.VIEWER)
    _, maker = await platform_api.person(Role.OPERATOR)

    async def posted(headers: dict[str, str], body: bytes, path: str = SHEETS) -> tuple[int, Any]:
        answer: Answer = await platform_api.call("POST", path, headers=headers, body=body)
        return answer.status, check_problem(answer)["param"]

    whole = written(await exported(platform_api, account, "csv"), "csv")
    assert (await posted(viewer | BINARY, whole))[0] == 403
    assert await posted(maker | BINARY, b"id,reason\n") == (422, "file")
    assert await posted(maker | BINARY, b"PK\x03\x04") == (422, "file")
    assert (await posted(maker | {"Content-Type": "text/csv"}, whole))[0] == 415
    assert await posted(maker | BINARY, whole, f"{ROOT}/difference-sheets?reason=%20") == (422, "reason")
    assert await posted(maker | BINARY, whole, f"{ROOT}/difference-sheets") == (422, "reason")


async def test_the_day_of_an_export_is_in_its_name(platform_api: PlatformApi) -> None:
    _, viewer = await platform_api.person(Role.VIEWER)
    answer = await platform_api.call("GET", f"{BASE}/export?day=2001-01-01", headers=viewer)
    today: date = platform_api.clock.now().date()
    assert f"differences-{today.isoformat()}.csv" in answer.headers["content-disposition"]
    assert answer.body.decode("utf-8-sig").startswith("id,content,account,")
