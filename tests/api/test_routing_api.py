"""Why a payment went where it did, and what operators do about where payments go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from hutong.operators import Role
from support.running_platform import Answer, PlatformApi, Shop


async def post(platform_api: PlatformApi, headers: dict[str, str], path: str, **body: Any) -> Answer:
    return await platform_api.call("POST", f"/v1/operator/routing/{path}", headers=headers, json=body)


async def test_a_decision_tells_of_every_candidate(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    number = payment["attempts"][0]["id"].replace("att_", "rtd_")
    _, headers = await platform_api.person(Role.VIEWER)
    answer = await platform_api.call("GET", f"/v1/routing/decisions/{number}", headers=headers)
    assert answer.status == 200
    found = answer.json
    assert (found["payment_id"], found["chosen"], found["how"]) == (payment["id"], "wechat/sandbox", "score")
    refused = {candidate["account"]: candidate["refused"] for candidate in found["candidates"]}
    assert refused["wechat/sandbox"] is None
    assert refused["stripe/sandbox"] == "method_not_offered"
    unknown = number[:-1] + ("1" if number.endswith("0") else "0")
    other = await platform_api.call("GET", f"/v1/routing/decisions/{unknown}", headers=headers)
    assert other.status == 404


async def test_a_block_is_seen_and_lifted(platform_api: PlatformApi) -> None:
    _, headers = await platform_api.person(Role.OPERATOR)
    made = await post(platform_api, headers, "overrides", kind="block", account="unionpay", reason="their bank called")
    assert (made.status, made.json["until"]) == (201, None)
    seen = await platform_api.call("GET", "/v1/operator/routing", headers=headers)
    assert made.json["id"] in {one["id"] for one in seen.json["overrides"]}
    path = f"overrides/{made.json['id']}/lift"
    lifted = await post(platform_api, headers, path, reason="it works again")
    assert (lifted.status, lifted.json["lifted_at"] is not None) == (200, True)
    assert (await post(platform_api, headers, path, reason="again")).status == 404


async def test_a_viewer_may_pin_nothing_and_a_pin_needs_an_end(platform_api: PlatformApi) -> None:
    _, viewer = await platform_api.person(Role.VIEWER)
    _, operator = await platform_api.person(Role.OPERATOR)
    body = {"kind": "pin", "account": "wechat/sandbox", "reason": "a test"}
    assert (await post(platform_api, viewer, "overrides", **body)).status == 403
    refused = await post(platform_api, operator, "overrides", **body)
    assert (refused.status, refused.json["param"]) == (422, "until")


async def test_a_configuration_takes_two_persons(platform_api: PlatformApi) -> None:
    _, maker = await platform_api.person(Role.OPERATOR)
    document = {"policies": {"": {"objective": "lowest_cost", "default": "*"}}}
    made = await post(platform_api, maker, "configurations", document=document, reason="the new price list")
    assert (made.status, made.json["state"], made.json["payload"]["document"]) == (201, "open", document)


@pytest.mark.parametrize(
    ("document", "code", "says"),
    [
        ({"policies": {"": {"weights": {"latency": 2}}}}, "routing_configuration_refused", "weights.latency"),
        ({"policies": {"": {"rules": "{}"}}}, "routing_rules_refused", "line 1"),
    ],
)
async def test_a_wrong_configuration_is_refused_with_its_place(
    platform_api: PlatformApi, document: dict[str, Any], code: str, says: str
) -> None:
    _, maker = await platform_api.person(Role.OPERATOR)
    refused = await post(platform_api, maker, "configurations", document=document, reason="a test")
    assert (refused.status, refused.json["code"]) == (422, code)
    assert says in refused.json["detail"]


async def test_a_suggestion_is_listed_and_confirmed_once_by_one_person(platform_api: PlatformApi) -> None:
    suggestion_id, now = UUID(int=0x1234 << 80 | 7 << 76 | 2 << 62), datetime.now(UTC)
    async with platform_api.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO routing.suggestion (id, what, account, interface, why, since, suggested_at)"
            " VALUES ($1, 'leave', 'wechat/sandbox', 'nothing', '9 of 10', $2, $2)",
            suggestion_id,
            now,
        )
    _, viewer = await platform_api.person(Role.VIEWER)
    _, operator = await platform_api.person(Role.OPERATOR)
    listed = await platform_api.call("GET", "/v1/operator/routing/suggestions", headers=viewer)
    (found,) = listed.json["data"]
    assert (found["what"], found["account"], found["interface"]) == ("leave", "wechat/sandbox", "nothing")
    path = f"suggestions/{found['id']}/confirm"
    assert (await post(platform_api, viewer, path, reason="x")).status == 403
    confirmed = await post(platform_api, operator, path, reason="their bank called")
    assert (confirmed.status, confirmed.json["id"]) == (200, found["id"])
    assert (await post(platform_api, operator, f"suggestions/{found['id']}/dismiss", reason="x")).status == 404
    seen = await platform_api.call("GET", "/v1/operator/routing", headers=viewer)
    leave = next(one for one in seen.json["overrides"] if one["kind"] == "leave")
    assert (leave["account"], leave["interface"]) == ("wechat/sandbox", "nothing")


async def test_a_pin_on_an_account_that_is_not_there_is_refused_with_the_field(platform_api: PlatformApi) -> None:
    _, operator = await platform_api.person(Role.OPERATOR)
    refused = await post(platform_api, operator, "overrides", kind="block", account="wechat/nobody", reason="x")
    assert (refused.status, refused.json["param"]) == (422, "account")
    assert "wechat/sandbox" in refused.json["detail"]


async def test_a_trial_takes_two_persons_to_start_and_one_to_end(platform_api: PlatformApi) -> None:
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)
    document = {"policies": {"": {"objective": "highest_success", "default": "*"}}}
    body = {"document": document, "share": 0.1, "guardrail": 0.02, "reason": "is it as good?"}
    refused = await post(platform_api, maker, "trials", **body | {"share": 0.6})
    assert (refused.status, refused.json["param"]) == (422, "share")
    assert (await post(platform_api, maker, "trials/stop", reason="x")).status == 404
    made = await post(platform_api, maker, "trials", **body)
    path = f"/v1/operator/proposals/{made.json['id']}/approve"
    approved = await platform_api.call("POST", path, headers=checker, json={"reason": "yes"})
    assert approved.status == 200, approved.json
    seen = await platform_api.call("GET", "/v1/operator/routing/trials/latest", headers=maker)
    assert (seen.json["document"], seen.json["share"], seen.json["ended_at"]) == (document, 0.1, None)
    assert (seen.json["verdict"], seen.json["comparison"]["p_value"]) == ("undecided", 1.0)
    undecided = await post(platform_api, maker, "configurations", document=document, reason="x")
    assert (undecided.status, undecided.json["code"]) == (409, "routing_trial_undecided")
    anyway = await post(platform_api, maker, "configurations", document=document, reason="x", anyway=True)
    assert (anyway.status, anyway.json["payload"]["anyway"]) == (201, True)
    ended = await post(platform_api, maker, "trials/stop", reason="enough")
    assert (ended.status, ended.json["end_reason"]) == (200, "enough")
