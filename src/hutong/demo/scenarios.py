"""The scenarios of the demonstration's payments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hutong.demo.merchant import Client, Refused
from hutong.demo.payers import WECHAT, ChannelMethod, pay

_FINAL = ("succeeded", "closed")
_PATIENCE_S = 90.0


class Scenario(StrEnum):
    """The course of one payment."""

    PAID = "paid"
    DECLINED_THEN_PAID = "declined, then paid"
    REPLY_LOST = "paid, the channel's reply lost"
    NOTIFIED_THRICE = "paid, notified three times"
    COUPON = "paid with a coupon of the merchant's"
    PORTAL_REFUND = "paid, refunded in the channel's portal"
    LATE_FAILURE = "paid, a refund failed after its success"
    DISPUTED = "paid by card, disputed, and won"
    UNPAID_CLOSED = "not paid, closed"


_RARE = {
    3: Scenario.DECLINED_THEN_PAID,
    5: Scenario.REPLY_LOST,
    7: Scenario.NOTIFIED_THRICE,
    9: Scenario.UNPAID_CLOSED,
    11: Scenario.COUPON,
    13: Scenario.PORTAL_REFUND,
    15: Scenario.LATE_FAILURE,
    17: Scenario.DISPUTED,
}
_COUPON_MINOR = 10


def scenario_of(number: int) -> Scenario:
    """Return the scenario of a payment by its number; eight of twenty are not simply paid."""
    return _RARE.get(number % 20, Scenario.PAID)


@dataclass(frozen=True, slots=True)
class Shop:
    """One of the demonstration's merchants."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class FinishedPayment:
    """A payment at its end, as its merchant sees it."""

    scenario: Scenario
    shop: Shop
    payment: dict[str, Any]
    channel: str = WECHAT.channel


def method_of(number: int, methods: Sequence[ChannelMethod]) -> ChannelMethod:
    """Return the method of a payment by its number: every second one takes the channels in turn, a dispute a card."""
    if scenario_of(number) is Scenario.DISPUTED:
        return next((method for method in methods if method.channel == "stripe"), WECHAT)
    if number % 2 or not methods:
        return WECHAT
    return methods[number // 2 % len(methods)]


async def play(client: Client, shop: Shop, number: int, run: str, method: ChannelMethod = WECHAT) -> FinishedPayment:
    """Take one payment through the cashier, from the order to its end."""
    scenario = scenario_of(number)
    order_no = f"{run}-{number:06d}"
    order = {
        "merchant_order_no": order_no,
        "amount_minor": 100 + number * 7919 % 50_000,
        "currency": method.currency,
        "subject": f"{shop.name}, order {order_no}",
    }
    payment = await client.create_payment(shop.key, order)
    token = await client.open_cashier(payment["checkout_url"])
    if method.channel != WECHAT.channel:
        await pay(client, shop.key, payment["id"], token, method)
        payment = await _wait_for(client, shop, payment["id"], _FINAL)
        if scenario is Scenario.DISPUTED and payment["status"] == "succeeded":
            await _dispute(client, shop, payment, method)
            payment = await client.payment(shop.key, payment["id"])
        return FinishedPayment(scenario, shop, payment, method.channel)
    if scenario is Scenario.REPLY_LOST:
        await client.control(WECHAT.channel, "next", interface="place", kind="paid_reply_lost", match=order_no)
    code_url = await client.choose_method(payment["id"], token, WECHAT.method)
    if scenario is Scenario.DECLINED_THEN_PAID and code_url:
        await _control(client, "decline", code_url=code_url)
        await _wait_for(client, shop, payment["id"], ("requires_payment", *_FINAL))
        code_url = await client.choose_method(payment["id"], token, WECHAT.method)
    if scenario is Scenario.UNPAID_CLOSED:
        await client.call("POST", f"{client.address}/v1/payments/{payment['id']}/close", key=shop.key)
    elif code_url and scenario is not Scenario.REPLY_LOST:
        copies = 3 if scenario is Scenario.NOTIFIED_THRICE else 1
        coupon = {"name": shop.name, "funder": "merchant", "amount_minor": _COUPON_MINOR}
        coupons = [coupon] if scenario is Scenario.COUPON else []
        await _control(client, "pay", code_url=code_url, notify={"copies": copies}, coupons=coupons)
    payment = await _wait_for(client, shop, payment["id"], _FINAL)
    if payment["status"] == "succeeded":
        if scenario is Scenario.PORTAL_REFUND:
            await _refund_in_portal(client, shop, payment)
        elif scenario is Scenario.LATE_FAILURE:
            await _return_refund(client, shop, payment)
        payment = await client.payment(shop.key, payment["id"])
    return FinishedPayment(scenario, shop, payment)


async def _refund_in_portal(client: Client, shop: Shop, payment: dict[str, Any]) -> None:
    """Give half of a payment back as a person in the channel's portal does, and wait until that is known."""
    half = payment["amount_minor"] // 2
    (paid,) = (attempt for attempt in payment["attempts"] if attempt["state"] == "succeeded")
    await _control(client, "portal", order_no=paid["id"], amount_minor=half)

    async def known() -> bool:
        return bool((await client.payment(shop.key, payment["id"]))["amount_refunded_minor"] == half)

    await _until(known)


async def _return_refund(client: Client, shop: Shop, payment: dict[str, Any]) -> None:
    """Refund half of a payment, and let the payer's bank send the money back."""
    order = {"merchant_refund_no": f"{payment['merchant_order_no']}-r", "amount_minor": payment["amount_minor"] // 2}
    refund = await client.call(
        "POST", f"{client.address}/v1/payments/{payment['id']}/refunds", key=shop.key, json=order
    )
    address = f"{client.address}/v1/refunds/{refund['id']}"

    async def reaches(state: str) -> bool:
        return bool((await client.call("GET", address, key=shop.key))["state"] == state)

    if await _until(lambda: reaches("succeeded")):
        await _control(client, "return", number=refund["id"])
        await _until(lambda: reaches("failed"))


async def _dispute(client: Client, shop: Shop, payment: dict[str, Any], method: ChannelMethod) -> None:
    """Dispute a payment as its payer does: the channel takes the money, the merchant answers and gets it back."""
    (paid,) = (attempt for attempt in payment["attempts"] if attempt["state"] == "succeeded")
    await _control(client, "dispute", method, order_no=paid["id"])
    disputes, found = f"{client.address}/v1/disputes", list[str]()

    async def reaches(*states: str) -> bool:
        nonlocal found
        listed = await client.call("GET", f"{disputes}?payment_id={payment['id']}", key=shop.key)
        found = [dispute["id"] for dispute in listed["data"] if dispute["state"] in states]
        return bool(found)

    if await _until(lambda: reaches("needs_response")):
        answer = {"evidence": {"uncategorized_text": "winning_evidence"}}
        await client.call("POST", f"{disputes}/{found[0]}/respond", key=shop.key, json=answer)
        await _until(lambda: reaches("won"))


async def _control(client: Client, what: str, method: ChannelMethod = WECHAT, **arguments: Any) -> None:
    try:
        await client.control(method.channel, what, **arguments)
    except Refused as refused:
        if refused.status != 409:  # an earlier call, whose answer was lost, has done it
            raise


async def _wait_for(client: Client, shop: Shop, payment_id: str, statuses: tuple[str, ...]) -> dict[str, Any]:
    """Poll until the payment has one of these statuses, or until the time limit; return the payment."""
    payment: dict[str, Any] = {}

    async def reached() -> bool:
        nonlocal payment
        payment = await client.payment(shop.key, payment_id)
        return payment["status"] in statuses

    await _until(reached)
    return payment


async def _until(reached: Callable[[], Awaitable[bool]]) -> bool:
    """Look until something is reached, or until the time limit; return whether it is."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    pause_s = 0.02
    while not await reached():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.5)
    return True
