"""/v1/operator: proposals and the journal over HTTP."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest

from hutong import operators
from hutong.channels import Bill, BillState
from hutong.channels.accounts import keep_bill_exceptions
from hutong.channels.bill import exception_row
from hutong.db import Tx
from hutong.ids import encode
from hutong.operators import NewProposal, Role
from support.running_platform import PlatformApi

ACTION = "test.write"


@pytest.fixture
async def done(platform_api: PlatformApi) -> Any:
    """What approvals of this test have done."""
    carried_out: list[Any] = []

    async def effect(tx: Tx, proposal: operators.Proposal, now: datetime) -> None:
        carried_out.append(proposal.payload)

    platform_api.approval_handlers[ACTION] = effect
    yield carried_out
    del platform_api.approval_handlers[ACTION]


async def propose(platform_api: PlatformApi, maker: UUID) -> str:
    new = NewProposal(platform_api.ids.new(), maker, ACTION, "thing", "thing_1", {"to": "中"}, "it is wrong")
    async with platform_api.database.transaction() as tx:
        await operators.propose(tx, [new], now=platform_api.clock.now())
    return f"/v1/operator/proposals/{encode('prp', new.proposal_id)}"


async def test_a_second_person_approves_and_the_effect_happens_once(platform_api: PlatformApi, done: Any) -> None:
    maker, own = await platform_api.person(Role.ADMIN)
    checker, other = await platform_api.person(Role.APPROVER)
    path = await propose(platform_api, maker)
    refused = await platform_api.call("POST", f"{path}/approve", json={"reason": "mine"}, headers=own)
    assert (refused.status, refused.json["code"]) == (403, "own_proposal")
    named = {**other, "X-Request-Id": "req-approve"}
    approved = await platform_api.call("POST", f"{path}/approve", json={"reason": "seen"}, headers=named)
    assert approved.status == 200
    assert approved.json["state"] == "approved"
    assert approved.json["checker_id"] == encode("opr", checker)
    again = await platform_api.call("POST", f"{path}/approve", json={"reason": "seen"}, headers=other)
    assert (again.status, again.json["code"]) == (409, "proposal_closed")
    assert done == [{"to": "中"}]
    assert (await platform_api.call("GET", path, headers=own)).json == approved.json
    about = f"object_kind=proposal&object_id={path.rpartition('/')[2]}"
    journal = await platform_api.call("GET", f"/v1/operator/audit?{about}", headers=other)
    assert [(row["action"], row["reason"], row["request_id"]) for row in journal.json["data"]] == [
        ("proposal.approve", "seen", "req-approve"),
        ("proposal.propose", "it is wrong", None),
    ]


async def test_a_rejected_proposal_has_no_effect(platform_api: PlatformApi, done: Any) -> None:
    maker, _ = await platform_api.person(Role.OPERATOR)
    _, other = await platform_api.person(Role.ADMIN)
    path = await propose(platform_api, maker)
    rejected = await platform_api.call("POST", f"{path}/reject", json={"reason": "no"}, headers=other)
    assert (rejected.status, rejected.json["state"]) == (200, "rejected")
    assert done == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_others_than_approvers_see_and_decide_nothing(platform_api: PlatformApi, done: Any, role: Role) -> None:
    maker, _ = await platform_api.person(Role.OPERATOR)
    _, headers = await platform_api.person(role)
    path = await propose(platform_api, maker)
    assert (await platform_api.call("GET", path, headers=headers)).status == 200
    before = await platform_api.fingerprint()
    refused = await platform_api.call("POST", f"{path}/approve", json={"reason": "yes"}, headers=headers)
    assert (refused.status, refused.json["code"]) == (403, "not_permitted")
    assert await platform_api.fingerprint() == before
    assert done == []


async def test_pages_of_proposals_and_of_the_journal_join_up(platform_api: PlatformApi) -> None:
    maker, headers = await platform_api.person(Role.OPERATOR)
    made = [(await propose(platform_api, maker)).rpartition("/")[2] for _ in range(3)]
    for path, key in (("/v1/operator/proposals?state=open", "id"), ("/v1/operator/audit?limit=50", "seq")):
        whole = await platform_api.call("GET", path.replace("limit=50", "limit=100"), headers=headers)
        first = await platform_api.call("GET", f"{path.partition('?')[0]}?limit=2", headers=headers)
        second = await platform_api.call(
            "GET", f"{path.partition('?')[0]}?limit=1&cursor={first.json['next_cursor']}", headers=headers
        )
        assert first.json["has_more"]
        pages = [row[key] for row in first.json["data"] + second.json["data"]]
        assert pages == [row[key] for row in whole.json["data"]][:3]
        if key == "id":
            assert pages == made[::-1]


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 501}, {"reason": 1}])
async def test_a_decision_without_a_reason_is_refused(platform_api: PlatformApi, body: Any) -> None:
    maker, _ = await platform_api.person(Role.OPERATOR)
    _, other = await platform_api.person(Role.APPROVER)
    path = await propose(platform_api, maker)
    answer = await platform_api.call("POST", f"{path}/approve", json=body, headers=other)
    assert (answer.status, answer.json["param"]) == (422, "reason")


@pytest.mark.parametrize("query", ["object_kind=x", "cursor=0", "cursor=x", "limit=0", "limit=101", "x=1"])
async def test_a_wrong_question_about_the_journal_is_refused(platform_api: PlatformApi, query: str) -> None:
    _, headers = await platform_api.person(Role.VIEWER)
    answer = await platform_api.call("GET", f"/v1/operator/audit?{query}", headers=headers)
    assert answer.status == 422


async def test_who_is_disabled_is_out_from_the_next_request_on(platform_api: PlatformApi) -> None:
    operator_id, headers = await platform_api.person(Role.ADMIN)
    assert (await platform_api.call("GET", "/v1/operator/audit", headers=headers)).status == 200
    async with platform_api.database.transaction() as tx:
        await operators.disable_operator(tx, operator_id, reason="left", now=platform_api.clock.now())
    assert (await platform_api.call("GET", "/v1/operator/audit", headers=headers)).status == 401


CODE = {
    "channel": "wechat", "interface": "pay", "code": "ODD_CODE", "sub_code": "", "unified_code": "risk_refused",
    "state": "failed", "retryable": False, "action": "change_method", "text_en": "Not now.",
    "text_zh": "暂时无法使用。",
}  # fmt: skip


async def test_an_unmapped_code_is_listed_until_two_persons_have_given_it_a_meaning(platform_api: PlatformApi) -> None:
    await platform_api.accounts.refresh()
    platform_api.accounts.unmapped.watch("wechat")("pay", "ODD_CODE", "", "奇怪")
    await platform_api.accounts.unmapped.flush(platform_api.database)
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)
    base = "/v1/operator/channel-codes"

    async def unmapped() -> list[Any]:
        listed = (await platform_api.call("GET", f"{base}/unmapped", headers=checker)).json["data"]
        return [one for one in listed if one["code"] == "ODD_CODE"]

    (found,) = await unmapped()
    assert (found["count"], found["message"]) == (1, "奇怪")
    proposed = await platform_api.call("POST", base, json=CODE | {"reason": "announced"}, headers=maker)
    assert proposed.status == 201
    assert proposed.json["payload"] == {"version": 0, "entry": CODE}
    path = f"/v1/operator/proposals/{proposed.json['id']}/approve"
    assert (await platform_api.call("POST", path, json={"reason": "seen"}, headers=checker)).status == 200
    assert await unmapped() == []
    at = "channel=wechat&interface=pay&code=ODD_CODE"
    (version,) = (await platform_api.call("GET", f"{base}/history?{at}", headers=maker)).json["data"]
    assert version["proposal_id"] == proposed.json["id"]
    assert version in (await platform_api.call("GET", f"{base}?channel=wechat", headers=maker)).json["data"]
    same = await platform_api.call("POST", base, json=CODE | {"reason": "announced"}, headers=maker)
    assert (same.status, same.json["param"]) == (422, "code")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "gone"),
        ("unified_code", "No"),
        ("code", ""),
        ("code", "a\u0000"),
        ("channel", "nowhere"),
        ("retryable", 1),
    ],
)
async def test_a_meaning_that_could_not_hold_is_refused(platform_api: PlatformApi, field: str, value: Any) -> None:
    _, maker = await platform_api.person(Role.OPERATOR)
    before = await platform_api.fingerprint()
    body = CODE | {"reason": "x", field: value}
    answer = await platform_api.call("POST", "/v1/operator/channel-codes", json=body, headers=maker)
    assert (answer.status, answer.json["param"]) == (422, field)
    assert await platform_api.fingerprint() == before


async def test_rows_of_bills_that_could_not_be_read_are_listed(platform_api: PlatformApi) -> None:
    _, viewer = await platform_api.person(Role.VIEWER)
    bill = Bill(BillState.READY, "trade", date(2026, 3, 10))
    rows = [exception_row(line, "a time of the bill cannot be read", f"`row {line}") for line in (7, 9)]
    async with platform_api.database.transaction() as tx:
        await keep_bill_exceptions(tx, platform_api.account_id, bill, rows, now=platform_api.clock.now())
    answer = await platform_api.call("GET", "/v1/operator/bill-exceptions", headers=viewer)
    shown = [(row["account_id"], row["day"], row["line_no"], row["text"]) for row in answer.json["data"]]
    account = encode("acc", platform_api.account_id)
    assert shown == [(account, "2026-03-10", 7, "`row 7"), (account, "2026-03-10", 9, "`row 9")]
    first = await platform_api.call("GET", "/v1/operator/bill-exceptions?limit=1", headers=viewer)
    assert first.json["data"] == answer.json["data"][:1]
