"""Bank accounts over HTTP: operators add them, each number once, and every operator sees them."""

from __future__ import annotations

from hutong.operators import Role
from support.running_platform import PlatformApi

PATH = "/v1/operator/reconciliation/bank-accounts"


async def test_operators_add_accounts_and_viewers_see_them(platform_api: PlatformApi) -> None:
    _, operator = await platform_api.person(Role.OPERATOR)
    _, viewer = await platform_api.person(Role.VIEWER)
    body = {"name": "euros", "number": "DE58 7406 1813 0100 0336 26", "currency": "EUR", "reason": "opened in May"}
    denied = await platform_api.call("POST", PATH, headers=viewer, json=body)
    assert denied.status == 403
    added = await platform_api.call("POST", PATH, headers=operator, json=body)
    assert added.status == 201, added.json
    assert added.json["number"] == "DE58740618130100033626"
    again = await platform_api.call("POST", PATH, headers=operator, json=body | {"name": "other"})
    assert again.status == 409
    wrong = await platform_api.call("POST", PATH, headers=operator, json=body | {"currency": "XXQ", "number": "1"})
    assert wrong.status == 422
    listed = await platform_api.call("GET", PATH, headers=viewer)
    assert added.json in listed.json["data"]
