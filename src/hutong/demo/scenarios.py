"""What happens to the demonstration's payments: one short story each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hutong.demo import payers as ways
from hutong.demo.merchant import Client, Refused
from hutong.demo.payers import WECHAT, Way

_FINAL = ("succeeded", "closed")
_PATIENCE_S = 90.0


class Story(StrEnum):
    """How one payment goes."""

    PAID = "paid"
    DECLINED_THEN_PAID = "declined, then paid"
    REPLY_LOST = "paid, the channel's reply lost"
    NOTIFIED_THRICE = "paid, notified three times"
    UNPAID_CLOSED = "not paid, closed"


_RARE = {3: Story.DECLINED_THEN_PAID, 5: Story.REPLY_LOST, 7: Story.NOTIFIED_THRICE, 9: Story.UNPAID_CLOSED}


def story_of(number: int) -> Story:
    """Four of twenty payments have something happen to them."""
    return _RARE.get(number % 20, Story.PAID)


@dataclass(frozen=True, slots=True)
class Shop:
    """One of the demonstration's merchants."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a payment ended, as its merchant sees it."""

    story: Story
    shop: Shop
    payment: dict[str, Any]
    channel: str = WECHAT.channel


def way_of(number: int, offered: Sequence[Way]) -> Way:
    """Every second of the payments to which nothing happens goes through one of the channels in turn."""
    if number % 2 or not offered:
        return WECHAT
    return offered[number // 2 % len(offered)]


async def play(client: Client, shop: Shop, number: int, run: str, way: Way = WECHAT) -> Ended:
    """Take one payment through the cashier, from the order to its end."""
    story = story_of(number)
    order_no = f"{run}-{number:06d}"
    order = {
        "merchant_order_no": order_no,
        "amount_minor": 100 + number * 7919 % 50_000,
        "currency": way.currency,
        "subject": f"{shop.name}, order {order_no}",
    }
    payment = await client.create_payment(shop.key, order)
    token = await client.open_cashier(payment["checkout_url"])
    if way.channel != WECHAT.channel:
        await ways.pay(client, shop.key, payment["id"], token, way)
        return Ended(story, shop, await _until(client, shop, payment["id"], _FINAL), way.channel)
    if story is Story.REPLY_LOST:
        await client.control(WECHAT.channel, "next", interface="place", kind="paid_reply_lost", match=order_no)
    code_url = await client.choose_method(payment["id"], token, WECHAT.method)
    if story is Story.DECLINED_THEN_PAID and code_url:
        await _control(client, "decline", code_url=code_url)
        await _until(client, shop, payment["id"], ("requires_payment", *_FINAL))
        code_url = await client.choose_method(payment["id"], token, WECHAT.method)
    if story is Story.UNPAID_CLOSED:
        await client.call("POST", f"{client.address}/v1/payments/{payment['id']}/close", key=shop.key)
    elif code_url and story is not Story.REPLY_LOST:
        copies = 3 if story is Story.NOTIFIED_THRICE else 1
        await _control(client, "pay", code_url=code_url, notify={"copies": copies})
    return Ended(story, shop, await _until(client, shop, payment["id"], _FINAL))


async def _control(client: Client, what: str, **arguments: Any) -> None:
    try:
        await client.control(WECHAT.channel, what, **arguments)
    except Refused as refused:
        if refused.status != 409:  # done by a call whose answer was cut off
            raise


async def _until(client: Client, shop: Shop, payment_id: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Ask until the payment is in one of these states, or patience ends."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    pause_s = 0.02
    while True:
        payment = await client.payment(shop.key, payment_id)
        if payment["status"] in wanted or asyncio.get_running_loop().time() > deadline:
            return payment
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.5)
