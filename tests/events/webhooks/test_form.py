"""The legacy mode: what Alipay's own rules verify, acknowledged by one word and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from alipay import AliPay
from alipay.utils import AliPayConfig
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hutong import events, ids
from hutong.events.model import NewEndpoint
from hutong.events.webhooks.worker import DeliveryCounts
from support.fixtures.webhooks import Receiver, World

PAYMENT = {
    "id": "pay_01kanf39z6e8rvqv6dkc35j5c1",
    "object": "payment",
    "status": "succeeded",
    "merchant_order_no": "2026-000123",
    "amount_minor": 1999,
    "amount_captured_minor": 1999,
    "amount_paid_minor": 1299,
    "amount_settled_minor": 1799,
    "amount_refunded_minor": 0,
    "currency": "CNY",
    "subject": "糖醋排骨 & 茶=1+1",
    "created_at": "2025-12-31T23:59:00.000Z",
    "succeeded_at": "2026-01-01T00:00:00.000Z",
    "closed_at": None,
}
REFUND = {
    "id": "ref_01kanf39z6e8rvqv6dkc35j5c1",
    "object": "refund",
    "payment_id": "pay_01kanf39z6e8rvqv6dkc35j5c1",
    "merchant_order_no": "2026-000123",
    "merchant_refund_no": "R1",
    "state": "succeeded",
    "amount_minor": 500,
    "currency": "CNY",
    "reason": "damaged",
    "created_at": "2025-12-31T23:59:00.000Z",
    "finished_at": "2026-01-01T00:00:00.000Z",
}


def verifies(public_key: str | None, form: dict[str, str]) -> bool:
    """Ask a client that merchants of Alipay use."""
    assert public_key is not None
    wrapped = f"-----BEGIN PUBLIC KEY-----\n{public_key}\n-----END PUBLIC KEY-----"
    own = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    client = AliPay("1", None, own.decode(), wrapped, sign_type="RSA2", config=AliPayConfig())
    fields = dict(form)
    return bool(client.verify(fields, fields.pop("sign")))


@pytest.fixture
async def legacy(world: World, receiver: Receiver) -> NewEndpoint:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="success\n")

    receiver.answers["/hook"] = answer
    return await world.endpoint(scheme=events.Scheme.RSA2)


async def delivered(world: World, receiver: Receiver, name: str, data: dict[str, Any]) -> dict[str, str]:
    await world.record(world.event(world.ids.new(), name, **data))
    await world.deliverer().run_once()
    _, headers, body = receiver.requests[-1]
    assert headers["content-type"] == "application/x-www-form-urlencoded; charset=utf-8"
    pairs = parse_qsl(body.decode(), strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


async def test_a_payment_is_notified_in_alipays_form_and_verifies(
    world: World, receiver: Receiver, legacy: NewEndpoint
) -> None:
    form = await delivered(world, receiver, "payment.succeeded", PAYMENT)
    assert verifies(legacy.endpoint.public_key, form)
    assert not verifies(legacy.endpoint.public_key, form | {"total_amount": "0.01"})
    assert not verifies(legacy.endpoint.public_key, form | {"extra": "1"})
    assert legacy.secret is None
    del form["sign"]
    assert form.pop("notify_id").startswith("evt_")
    assert form == {
        "app_id": ids.encode("mer", world.merchant),
        "buyer_pay_amount": "12.99",
        "charset": "utf-8",
        "event_seq": "1",
        "event_type": "payment.succeeded",
        "gmt_create": "2026-01-01 07:59:00",
        "gmt_payment": "2026-01-01 08:00:00",
        "notify_time": "2026-01-01 08:00:00",
        "notify_type": "trade_status_sync",
        "out_trade_no": "2026-000123",
        "receipt_amount": "17.99",
        "sign_type": "RSA2",
        "subject": "糖醋排骨 & 茶=1+1",
        "total_amount": "19.99",
        "trade_no": PAYMENT["id"],
        "trade_status": "TRADE_SUCCESS",
        "trans_currency": "CNY",
        "version": "1.0",
    }


async def test_a_refund_is_notified_too(world: World, receiver: Receiver, legacy: NewEndpoint) -> None:
    form = await delivered(world, receiver, "refund.succeeded", REFUND)
    assert verifies(legacy.endpoint.public_key, form)
    assert (form["notify_type"], form["refund_status"], form["refund_fee"]) == (
        "refund_status_sync", "REFUND_SUCCESS", "5.00",
    )  # fmt: skip
    assert (form["trade_no"], form["out_request_no"]) == (REFUND["payment_id"], "R1")
    assert form["out_trade_no"] == "2026-000123"
    old = {name: value for name, value in REFUND.items() if name != "merchant_order_no"}
    assert "out_trade_no" not in await delivered(world, receiver, "refund.succeeded", old)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"status": "closed", "amount_captured_minor": 0}, "TRADE_CLOSED"),
        ({"status": "processing", "amount_captured_minor": 0}, "WAIT_BUYER_PAY"),
        ({"amount_refunded_minor": 500}, "TRADE_SUCCESS"),
        ({"amount_refunded_minor": 1999}, "TRADE_CLOSED"),
    ],
)
async def test_the_status_is_the_one_that_alipay_would_tell(
    world: World, receiver: Receiver, legacy: NewEndpoint, changed: dict[str, Any], status: str
) -> None:
    form = await delivered(world, receiver, "payment.closed", PAYMENT | changed)
    assert form["trade_status"] == status


@pytest.mark.parametrize("body", ["", "fail", "Success!", "success success", "<html>success</html>", "{}"])
async def test_only_the_text_success_acknowledges(
    world: World, receiver: Receiver, legacy: NewEndpoint, body: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    receiver.answers["/hook"] = answer
    [event] = await world.happens()
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=0, failed=1, dead=0)
    [delivery] = await world.deliveries(event)
    assert (delivery.last_status, delivery.last_error) == (200, "not_acknowledged")


async def test_success_with_another_status_does_not_acknowledge(
    world: World, receiver: Receiver, legacy: NewEndpoint
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="success", status=500)

    receiver.answers["/hook"] = answer
    await world.happens()
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=0, failed=1, dead=0)


async def test_the_old_key_signs_until_the_overlap_ends(world: World, receiver: Receiver, legacy: NewEndpoint) -> None:
    async with world.database.transaction() as tx:
        new = await events.rotate_endpoint(
            tx,
            world.merchant,
            legacy.endpoint.endpoint_id,
            overlap=timedelta(hours=1),
            now=world.clock.now(),
            vault=world.vault,
        )
    keys = [legacy.endpoint.public_key, new.endpoint.public_key]
    form = await delivered(world, receiver, "payment.succeeded", PAYMENT)
    assert [verifies(key, form) for key in keys] == [True, False]
    world.clock.advance(timedelta(hours=1))
    form = await delivered(world, receiver, "payment.succeeded", PAYMENT)
    assert [verifies(key, form) for key in keys] == [False, True]
