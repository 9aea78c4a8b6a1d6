"""Disputes over HTTP: entered by two persons, seen by their merchant alone, answered as far as the channel takes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_bad_input import check_problem

from hutong.app.worker import make_worker
from hutong.channels.wechat.adapter import WeChatPay
from hutong.operators import Role
from support.running_platform import PlatformApi, Shop


async def paid(api: PlatformApi, shop: Shop) -> dict[str, Any]:
    payment = await api.create(shop)
    await api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    return await api.until(shop, payment["id"], "succeeded")


async def test_a_dispute_is_entered_seen_answered_and_moved(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await paid(platform_api, shop)
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)

    async def decided(path: str, body: dict[str, Any]) -> None:
        made = await platform_api.call("POST", path, headers=maker, json={"reason": "letter of 3 March"} | body)
        assert made.status == 201, made.json
        approve = f"/v1/operator/proposals/{made.json['id']}/approve"
        assert (await platform_api.call("POST", approve, headers=checker, json={"reason": "seen"})).status == 200

    enter = f"/v1/operator/payments/{payment['id']}/disputes"
    body = {"amount_minor": 700, "amount_taken_minor": 700, "fee_minor": 15, "due_at": "2099-12-20T12:00:00Z"}
    wrong = await platform_api.call(
        "POST", enter, headers=maker, json=body | {"reason": "x", "amount_taken_minor": payment["amount_minor"] + 1}
    )
    assert (wrong.status, check_problem(wrong)["param"]) == (422, "amount_taken_minor")
    await decided(enter, body)
    listed = await platform_api.call("GET", f"/v1/disputes?state=needs_response&payment_id={payment['id']}", shop=shop)
    (dispute,) = listed.json["data"]
    path = f"/v1/disputes/{dispute['id']}"
    assert (await platform_api.call("GET", path, shop=shop)).json == dispute
    assert (dispute["amount_held_minor"], dispute["source"], dispute["due_at"]) == (
        715, "operator", "2099-12-20T12:00:00.000Z",
    )  # fmt: skip
    assert (await platform_api.get(shop, payment["id"]))["amount_disputed_minor"] == 700
    other = await platform_api.shop()
    assert (await platform_api.call("GET", path, shop=other)).status == 404
    assert (await platform_api.call("POST", f"{path}/accept", shop=other, json={})).status == 404
    assert (await platform_api.call("GET", "/v1/disputes", shop=other)).json["data"] == []
    answer = await platform_api.call(
        "POST", f"{path}/respond", shop=shop, json={"evidence": {"no_such_text": "x"}}, headers={"Idempotency-Key": "1"}
    )
    expected = (
        (409, "dispute_response_not_offered") if WeChatPay.capabilities.disputes is None
        else (422, "dispute_evidence_refused")
    )  # fmt: skip
    assert (answer.status, check_problem(answer)["code"]) == expected
    given = {"evidence": {"no_such_text": "x"}}
    accepted = await platform_api.call("POST", f"{path}/accept", shop=shop, json=given)
    assert (accepted.status, check_problem(accepted)["code"]) == expected
    await decided(f"/v1/operator/disputes/{dispute['id']}/move", {"state": "lost"})
    seen = await platform_api.call("GET", f"/v1/operator/disputes/{dispute['id']}", headers=maker)
    assert (seen.json["state"], seen.json["amount_taken_minor"]) == ("lost", 700)
    every = await platform_api.call("GET", "/v1/operator/disputes?state=lost&limit=100", headers=maker)
    assert dispute["id"] in [each["id"] for each in every.json["data"]]
    refused = await platform_api.call("POST", f"/v1/operator/disputes/{dispute['id']}/move", headers=maker, json={})
    assert refused.status == 422


ANSWERS = {
    "wechat_native": ("wechat", {"response": "We have sent you a new pair."}, {}),
    "alipay_qr": ("alipay", {"remark": "We have sent you a new pair."}, {"remark": "Settled."}),
    "card": ("stripe", {"uncategorized_text": "Delivered on 3 March."}, {}),
}
"""By method: the channel, an answer, and what goes with giving in."""


@pytest.mark.parametrize("method", ANSWERS)
@pytest.mark.parametrize("verb", ["respond", "accept"])
async def test_a_payers_dispute_goes_from_the_channel_to_the_merchant_and_back(
    platform_api: PlatformApi, shop: Shop, method: str, verb: str
) -> None:
    channel, answer, settling = ANSWERS[method]
    card = {"currency": "USD", "payer": {"token": "pm_card_visa"}} if channel == "stripe" else {}
    payment = await platform_api.create(shop, method=method, **card)
    (attempt,) = payment["attempts"]
    if channel != "stripe":
        await platform_api.control("pay", channel=channel, code_url=attempt["action"]["content"])
    await platform_api.until(shop, payment["id"], "succeeded")
    opened = await platform_api.control("dispute", channel=channel, order_no=attempt["id"], statement="没有收到货")
    if channel == "alipay":  # sends no message about such a complaint: the worker lists the day's
        await make_worker(platform_api.platform).disputes.find_lost()
    address = f"/v1/disputes?payment_id={payment['id']}"

    figures = opened["dispute_no"], opened["taken_minor"], opened["fee_minor"]

    async def reaches(*states: str) -> dict[str, Any]:
        """Wait for a state in which the channel's figures are known; Stripe reports them by a second message."""
        for _ in range(200):
            listed = (await platform_api.call("GET", address, shop=shop)).json["data"]
            for each in listed:
                known = each["channel_dispute_no"], each["amount_taken_minor"], each["fee_minor"]
                if each["state"] in states and known == figures:
                    return dict(each)
            await asyncio.sleep(0.05)
        raise AssertionError((listed, opened))

    dispute = await reaches("needs_response")
    assert (await platform_api.get(shop, payment["id"]))["amount_disputed_minor"] == opened["taken_minor"]
    given = answer if verb == "respond" else settling
    sent = await platform_api.call(
        "POST", f"/v1/disputes/{dispute['id']}/{verb}", shop=shop, json={"evidence": given} if given else {}
    )
    assert (sent.status, sent.json["responses"][-1]["state"]) == (200, "taken"), sent.body
    await (reaches("under_review", "won", "accepted") if verb == "respond" else reaches("accepted"))
