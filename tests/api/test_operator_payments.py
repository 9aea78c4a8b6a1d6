"""What operators do with payments: with a reason, in the journal and the story, by two persons where money moves."""

from __future__ import annotations

from typing import Any

import pytest

from hutong import operators
from hutong.ids import decode
from hutong.operators import Role
from support.running_platform import Answer, PlatformApi, Shop


async def post(platform_api: PlatformApi, headers: dict[str, str], path: str, **body: Any) -> Answer:
    return await platform_api.call("POST", f"/v1/operator/{path}", headers=headers, json=body)


async def acts(platform_api: PlatformApi, payment_id: str) -> list[tuple[str, str]]:
    async with platform_api.database.transaction() as tx:
        found = await operators.list_audit(tx, about=("payment", payment_id))
    return [(record.entry.action, record.entry.reason) for record in reversed(found)]


def billed(payment: Any, **changed: Any) -> dict[str, Any]:
    return {
        "attempt_id": payment["attempts"][0]["id"],
        "amount_minor": 1999,
        "currency": "CNY",
        "channel_order_no": "4200000001",
        "bill": "trade bill of 2026-11-20, row 17",
        "reason": "the channel answers nothing",
    } | changed


async def test_an_operator_asks_the_channel_now(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    await platform_api.control("faults", notify="drop")
    _, headers = await platform_api.person(Role.OPERATOR)
    answer = await post(platform_api, headers, f"payments/{payment['id']}/query", reason="the payer called")
    assert (answer.status, answer.json["id"]) == (200, payment["id"])
    assert await acts(platform_api, payment["id"]) == [("payment.query", "the payer called")]
    theirs = await platform_api.call("GET", f"/v1/payments/{payment['id']}/timeline", shop=shop)
    (entry,) = [one for one in theirs.json["data"] if one["what"] == "operator.query"]
    assert (entry["source"], entry["reason"]) == ("operator", None)
    ours = await platform_api.call("GET", f"/v1/operator/payments/{payment['id']}/timeline", headers=headers)
    (entry,) = [one for one in ours.json["data"] if one["what"] == "operator.query"]
    assert entry["reason"].endswith(": the payer called")
    await platform_api.control("reset")


async def test_an_operator_closes_a_payment(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    _, headers = await platform_api.person(Role.OPERATOR)
    answer = await post(platform_api, headers, f"payments/{payment['id']}/close", reason="ordered by mistake")
    assert (answer.status, answer.json["status"], answer.json["close_reason"]) == (200, "closed", "operator")
    assert await acts(platform_api, payment["id"]) == [("payment.close", "ordered by mistake")]
    seen = await platform_api.call("GET", f"/v1/operator/payments/{payment['id']}", headers=headers)
    assert seen.json == await platform_api.get(shop, payment["id"])


async def test_a_success_found_in_a_bill_takes_two_persons_and_is_booked_once(
    platform_api: PlatformApi, shop: Shop
) -> None:
    payment = await platform_api.create(shop)
    _, maker = await platform_api.person(Role.APPROVER)
    _, checker = await platform_api.person(Role.APPROVER)
    made = await post(platform_api, maker, f"payments/{payment['id']}/attach-success", **billed(payment))
    assert (made.status, made.json["state"]) == (201, "open")
    assert (await platform_api.get(shop, payment["id"]))["status"] == "processing"
    path = f"proposals/{made.json['id']}/approve"
    assert (await post(platform_api, maker, path, reason="me too")).json["code"] == "own_proposal"
    assert await platform_api.transfers_of(payment["id"]) == []
    assert (await post(platform_api, checker, path, reason="seen in the bill")).status == 200
    paid = await platform_api.get(shop, payment["id"])
    assert (paid["status"], paid["attempts"][0]["channel_order_no"]) == ("succeeded", "4200000001")
    assert [t["amount"] for t in await platform_api.transfers_of(payment["id"])] == [1999, 12]
    assert (await post(platform_api, checker, path, reason="again")).json["code"] == "proposal_closed"
    story = await platform_api.call("GET", f"/v1/payments/{payment['id']}/timeline", shop=shop)
    sources = {entry["what"]: entry["source"] for entry in story.json["data"]}
    assert (sources["attempt.succeeded"], sources["operator.attach_success"]) == ("bill", "operator")


async def test_a_success_found_in_a_bill_settles_as_the_bill_has_it(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)
    path, sums = f"payments/{payment['id']}/attach-success", {"amount_paid_minor": 1299, "amount_settled_minor": 1799}
    wrong = await post(platform_api, maker, path, **billed(payment, amount_settled_minor=2000))
    assert (wrong.status, wrong.json["param"]) == (422, "amount_settled_minor")
    made = await post(platform_api, maker, path, **billed(payment, **sums))
    assert (await post(platform_api, checker, f"proposals/{made.json['id']}/approve", reason="x")).status == 200
    paid = await platform_api.get(shop, payment["id"])
    assert (paid["amount_paid_minor"], paid["amount_settled_minor"]) == (1299, 1799)
    discounts = [(each["funder"], each["amount_minor"], each["settles"]) for each in paid["channel_discounts"]]
    assert discounts == [("merchant", 200, False), (None, 500, True)]
    assert sorted(t["amount"] for t in await platform_api.transfers_of(payment["id"])) == [11, 200, 1999]


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"amount_minor": 2000}, "notification_mismatch"), ({"currency": "JPY"}, "notification_mismatch")],
)
async def test_a_bill_about_something_else_leaves_the_proposal_open_and_books_nothing(
    platform_api: PlatformApi, shop: Shop, changed: dict[str, Any], code: str
) -> None:
    payment = await platform_api.create(shop)
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)
    made = await post(platform_api, maker, f"payments/{payment['id']}/attach-success", **billed(payment, **changed))
    before = await platform_api.fingerprint()
    refusal = await post(platform_api, checker, f"proposals/{made.json['id']}/approve", reason="x")
    assert refusal.json["code"] == code
    assert await platform_api.fingerprint() == before


async def test_a_late_success_found_in_a_bill_is_surplus(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)
    made = await post(platform_api, maker, f"payments/{payment['id']}/attach-success", **billed(payment))
    assert (await post(platform_api, checker, f"proposals/{made.json['id']}/approve", reason="x")).status == 200
    after = await platform_api.get(shop, payment["id"])
    assert (after["status"], after["attempts"][0]["surplus"]) == ("closed", True)


async def test_a_viewer_may_look_and_do_nothing(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    _, headers = await platform_api.person(Role.VIEWER)
    seen = await platform_api.call("GET", f"/v1/operator/payments/{payment['id']}", headers=headers)
    assert seen.status == 200
    before = await platform_api.fingerprint()
    for path, body in (("query", {"reason": "x"}), ("close", {"reason": "x"}), ("attach-success", billed(payment))):
        refusal = await post(platform_api, headers, f"payments/{payment['id']}/{path}", **body)
        assert (refusal.status, refusal.json["code"]) == (403, "not_permitted")
    assert await platform_api.fingerprint() == before


async def test_an_act_without_a_reason_or_about_nothing_is_refused(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    _, headers = await platform_api.person(Role.OPERATOR)
    for body in ({}, {"reason": " "}, {"reason": "x" * 501}):
        refusal = await post(platform_api, headers, f"payments/{payment['id']}/query", **body)
        assert refusal.status == 422
    stray = billed(payment, attempt_id="att_01h455vb4pex5vsknk084sn02q")
    refusal = await post(platform_api, headers, f"payments/{payment['id']}/attach-success", **stray)
    assert (refusal.status, refusal.json["param"]) == (422, "attempt_id")
    assert decode("pay", payment["id"])
    refusal = await post(platform_api, headers, "payments/pay_01h455vb4pex5vsknk084sn02q/query", reason="x")
    assert refusal.status == 404
