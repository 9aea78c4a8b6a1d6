"""The payers of the demonstration: one payment method at each simulated channel."""

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
class ChannelMethod:
    """A channel, one of its methods, and a currency that the channel takes."""

    channel: str
    method: str
    currency: str


WECHAT = ChannelMethod("wechat", "wechat_native", "CNY")


async def find_methods(client: Client) -> list[ChannelMethod]:
    """Return one method of each channel that the sandbox simulates: by a code, or on the channel's own page."""
    simulated = await client.call("GET", f"{client.sandbox_address}/control")
    methods = []
    for name in simulated["channels"]:
        capabilities = channels.adapters()[name].capabilities
        suitable = (m for m, method in capabilities.methods.items() if method.action in _OPENED and not method.requires)
        method = next(suitable, None)
        if method is not None:
            methods.append(ChannelMethod(name, method, "CNY" if "CNY" in capabilities.currencies else "USD"))
    return methods


async def read_channel_log(client: Client) -> list[dict[str, Any]]:
    """Return the logs of all simulated channels: what each channel did."""
    simulated = await client.call("GET", f"{client.sandbox_address}/control")
    entries: list[dict[str, Any]] = []
    for name in simulated["channels"]:
        entries += (await client.call("GET", f"{client.sandbox_address}/control/{name}/truth"))["truth"]
    return entries


def alphanumeric(number: str) -> str:
    """Return our number without the characters that some channels do not allow."""
    return "".join(character for character in number if character.isalnum())


async def pay(client: Client, key: str, payment_id: str, token: str, method: ChannelMethod) -> None:
    """Choose the method in the cashier, open the channel's page, and pay there."""
    headers = {"X-Checkout-Token": token}
    try:
        address = f"{client.address}/pay/{payment_id}/attempts"
        await client.call("POST", address, json={"method": method.method}, headers=headers)
    except Refused as refused:
        if refused.status != 409:  # an earlier click, whose answer was lost, has started the attempt
            raise
    attempt = await _wait_for_attempt(client, key, payment_id)
    if attempt is None:
        return
    await open_page(client, attempt["action"])
    for number in (attempt["id"], alphanumeric(attempt["id"])):
        try:
            await client.control(method.channel, "pay", order_no=number)
        except Refused as refused:
            if refused.status not in (404, 409):  # 409: an earlier call, whose answer was lost, has paid
                raise


async def _wait_for_attempt(client: Client, key: str, payment_id: str) -> dict[str, Any] | None:
    """Wait for an open attempt with an action for the payer, and return it; None if the payment ended before."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        payment = await client.payment(key, payment_id)
        attempt = payment["attempts"][-1] if payment["attempts"] else None
        if payment["status"] in _FINAL:
            return None
        if attempt is not None and attempt["action"] is not None:
            return dict(attempt)
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{payment_id} got no page to pay on")
        await asyncio.sleep(0.1)


async def open_page(client: Client, action: dict[str, str]) -> None:
    """Open the channel's page as the payer's browser does; some channels know the order only from then on."""
    if action["kind"] == ActionKind.REDIRECT:
        await client.visit("GET", action["content"])
    elif action["kind"] == ActionKind.FORM:
        form = orjson.loads(action["content"])
        await client.visit("POST", form["url"], data=form["fields"])
