"""The Stripe adapter against a server that nobody here wrote, in a process of its own.

It has no search, no idempotency keys, no amount_received and no descriptions, so orders are asked for by their id and
have no subject here.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import support.processes
from hutong.channels import ChannelState, Codes, Http, OrderReference, PayRequest, RefundRequest
from hutong.channels.codes.codes import load_codes
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.credentials import StripeCredentials
from hutong.errors import InvalidParameter
from support.channel_rigs import number

RUNNER = Path(support.processes.__file__).parent / "localstripe_server.py"
KEY, SECRET = "sk_test_" + "k" * 24, "whsec_" + "s" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("localstripe")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, str(RUNNER), str(port), str(folder)],
        stdout=log,
        stderr=log,
        env={"PATH": os.environ["PATH"]},
        cwd=folder,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
        log.close()


@pytest.fixture
def stripe(server: str, http: Http) -> Stripe:
    raw = {"secret_key": KEY, "webhook_secrets": [SECRET], "base_url": server}
    credentials = StripeCredentials.model_validate(raw, context={"sandbox": True})
    return Stripe(credentials, http, Codes(load_codes(Stripe.code_map)))


async def token(server: str, card: str = "4242424242424242") -> str:
    form = {"type": "card", "card[number]": card, "card[exp_month]": "12", "card[exp_year]": "2040", "card[cvc]": "123"}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{server}/v1/payment_methods", data=form) as answer,
    ):
        return str((await answer.json())["id"])


async def pay(stripe: Stripe, server: str, now: datetime, *, card: str = "4242424242424242", **more: Any) -> Any:
    pm = await token(server, card)
    request = PayRequest(number("att"), "card", 8800, "USD", "", now, "http://127.0.0.1:1", payer={"token": pm}, **more)
    answer = await stripe.pay(request, now=now)
    return OrderReference(request.attempt_no, "card", 8800, "USD", now, answer.channel_order_no), answer


def test_it_listens_on_the_loopback_address_alone(server: str) -> None:
    port = int(server.rpartition(":")[2])
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    listening = [line.split()[1] for line in table.splitlines() if f":{port:04X} " in line and " 0A " in line]
    assert listening == [f"0100007F:{port:04X}"]


async def test_a_token_pays_and_is_found(stripe: Stripe, server: str, now: datetime) -> None:
    order, answer = await pay(stripe, server, now)
    assert (answer.state, answer.amount_minor, answer.currency) == (ChannelState.SUCCEEDED, 8800, "USD")
    assert (await stripe.query(order, now=now)).state is ChannelState.SUCCEEDED
    assert (await stripe.close(order, now=now)).state is ChannelState.SUCCEEDED


async def test_a_declined_card_has_failed(stripe: Stripe, server: str, now: datetime) -> None:
    order, answer = await pay(stripe, server, now, card="4000000000000341")
    assert (answer.state, answer.channel_code) == (ChannelState.FAILED, "card_declined")
    assert (await stripe.query(order, now=now)).state is ChannelState.FAILED


async def test_money_is_authorized_captured_or_given_up(stripe: Stripe, server: str, now: datetime) -> None:
    order, answer = await pay(stripe, server, now, capture=False)
    assert answer.state is ChannelState.AUTHORIZED
    assert (await stripe.capture(order, 8800, now=now)).state is ChannelState.SUCCEEDED
    order, _ = await pay(stripe, server, now, capture=False)
    assert (await stripe.close(order, now=now)).state is ChannelState.CLOSED
    assert (await stripe.query(order, now=now)).state is ChannelState.CLOSED


async def test_3d_secure_waits_for_the_payer(stripe: Stripe, server: str, now: datetime) -> None:
    order, answer = await pay(stripe, server, now, card="4000002500003155")
    assert (answer.state, answer.action.kind) == (ChannelState.PENDING, "sdk")
    assert (await stripe.close(order, now=now)).state is ChannelState.CLOSED


async def test_refunds_stop_at_what_was_paid_although_this_server_would_give_more(
    stripe: Stripe, server: str, now: datetime
) -> None:
    order, _ = await pay(stripe, server, now)

    def refund(amount_minor: int) -> RefundRequest:
        return RefundRequest(number("ref"), order, amount_minor, "", "http://127.0.0.1:1", now)

    first = refund(8000)
    given = await stripe.refund(first, now=now)
    assert (given.state, given.amount_minor) == (ChannelState.SUCCEEDED, 8000)
    assert await stripe.query_refund(first, now=now) == given
    assert await stripe.refund(first, now=now) == given  # it has no idempotency keys: the list is what keeps it one
    for amount_minor in (801, 8800):
        refused = await stripe.refund(refund(amount_minor), now=now)
        assert (refused.state, refused.is_given_back) == (ChannelState.FAILED, True)
    with pytest.raises(InvalidParameter):
        await stripe.refund(refund(9000), now=now)

    # The guard is ours: asked directly, this server refunds above what was paid.
    form = {"payment_intent": str(order.channel_order_no), "amount": "8800"}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.post(f"{server}/v1/refunds", data=form) as answer,
    ):
        assert answer.status == 200
    assert (await stripe.refund(refund(1), now=now)).is_given_back
    unknown = replace(first, refund_no=number("ref"))
    assert (await stripe.query_refund(unknown, now=now)).state is ChannelState.NOT_FOUND


async def test_its_message_is_believed(stripe: Stripe, server: str, now: datetime, receiver) -> None:
    hook = {"url": receiver.url, "secret": SECRET, "events": ["payment_intent.succeeded"]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server}/_config/webhooks/one", json=hook) as answer,
    ):
        assert answer.status == 200
    order, _ = await pay(stripe, server, now)
    async with asyncio.timeout(120):
        notice = stripe.parse_notification(*(await receiver.taken.get()), now=now)
        while notice.number != order.attempt_no:  # it tells of earlier payments too, a second after each
            notice = stripe.parse_notification(*(await receiver.taken.get()), now=now)
    assert notice.answer.state is ChannelState.SUCCEEDED
    assert notice.answer.amount_minor == 8800
