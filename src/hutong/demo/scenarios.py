"""The scenarios of the demonstration's payments."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
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
    UNPAID_CLOSED = "not paid, closed"


_RARE = {
    3: Scenario.DECLINED_THEN_PAID,
    5: Scenario.REPLY_LOST,
    7: Scenario.NOTIFIED_THRICE,
    9: Scenario.UNPAID_CLOSED,
    11: Scenario.COUPON,
}
_COUPON_MINOR = 10


def scenario_of(number: int) -> Scenario:
    """Return the scenario of a payment by its number; five of twenty are not simply paid."""
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
    """Return the method of a payment by its number: every second one takes the channels in turn."""
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
        return FinishedPayment(scenario, shop, await _wait_for(client, shop, payment["id"], _FINAL), method.channel)
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
    return FinishedPayment(scenario, shop, await _wait_for(client, shop, payment["id"], _FINAL))


async def _control(client: Client, what: str, **arguments: Any) -> None:
    try:
        await client.control(WECHAT.channel, what, **arguments)
    except Refused as refused:
        if refused.status != 409:  # an earlier call, whose answer was lost, has done it
            raise


async def _wait_for(client: Client, shop: Shop, payment_id: str, statuses: tuple[str, ...]) -> dict[str, Any]:
    """Poll until the payment has one of these statuses, or until the time limit; return the payment."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    pause_s = 0.02
    while True:
        payment = await client.payment(shop.key, payment_id)
        if payment["status"] in statuses or asyncio.get_running_loop().time() > deadline:
            return payment
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.5)
