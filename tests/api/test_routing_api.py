"""Why a payment went where it did, and what operators do about where payments go."""

from __future__ import annotations

from typing import Any

import pytest

from hutong.operators import Role
from running_platform import Answer, PlatformApi, Shop


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
    other = await platform_api.call("GET", f"/v1/routing/decisions/{number[:-1]}0", headers=headers)
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
