"""How payers of the demonstration pay: one way through each simulated channel."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson

from hutong import channels
from hutong.channels import ActionKind
from hutong.demo.merchant import Client, Refused

_OPENED = (ActionKind.QR_CODE, ActionKind.REDIRECT, ActionKind.FORM)
_FINAL = ("succeeded", "closed")
_PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Way:
    """A channel, one of its methods, and a currency that it takes."""

    channel: str
    method: str
    currency: str


WECHAT = Way("wechat", "wechat_native", "CNY")


async def ways(client: Client) -> list[Way]:
    """One way through each channel that the sandbox simulates: by a code, or on the channel's own page."""
    simulated = await client.call("GET", f"{client.sandbox_address}/control")
    found = []
    for name in simulated["channels"]:
        can = channels.adapters()[name].capabilities
        offered = (m for m, method in can.methods.items() if method.action in _OPENED and not method.requires)
        method = next(offered, None)
        if method is not None:
            found.append(Way(name, method, "CNY" if "CNY" in can.currencies else "USD"))
    return found


async def truth(client: Client) -> list[dict[str, Any]]:
    """What all simulated channels did."""
    simulated = await client.call("GET", f"{client.sandbox_address}/control")
    told: list[dict[str, Any]] = []
    for name in simulated["channels"]:
        told += (await client.call("GET", f"{client.sandbox_address}/control/{name}/truth"))["truth"]
    return told


def plain(number: str) -> str:
    """A number of ours without what some channels' alphabets lack."""
    return "".join(character for character in number if character.isalnum())


async def pay(client: Client, key: str, payment_id: str, token: str, way: Way) -> None:
    """Choose the method in the cashier, go where it leads, and pay there."""
    headers = {"X-Checkout-Token": token}
    try:
        address = f"{client.address}/pay/{payment_id}/attempts"
        await client.call("POST", address, json={"method": way.method}, headers=headers)
    except Refused as refused:
        if refused.status != 409:  # an earlier click, whose answer was lost, was enough
            raise
    attempt = await _attempt(client, key, payment_id)
    if attempt is None:
        return
    await _open(client, attempt["action"])
    for number in (attempt["id"], plain(attempt["id"])):
        try:
            await client.control(way.channel, "pay", order_no=number)
        except Refused as refused:
            if refused.status not in (404, 409):  # 409: paid by a call whose answer was cut off
                raise


async def _attempt(client: Client, key: str, payment_id: str) -> dict[str, Any] | None:
    """The running try, once there is something for the payer to do; None if the payment ended before."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        payment = await client.payment(key, payment_id)
        attempt = payment["attempts"][-1] if payment["attempts"] else None
        if payment["status"] in _FINAL:
            return None
        if attempt is not None and attempt["action"] is not None:
            return dict(attempt)
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{payment_id} gets no page to pay on")
        await asyncio.sleep(0.1)


async def _open(client: Client, action: dict[str, str]) -> None:
    """Go to the channel's page as the payer's browser does; some channels know the order only from then on."""
    if action["kind"] == ActionKind.REDIRECT:
        await client.visit("GET", action["content"])
    elif action["kind"] == ActionKind.FORM:
        form = orjson.loads(action["content"])
        await client.visit("POST", form["url"], data=form["fields"])
