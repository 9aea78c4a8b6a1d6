"""Requests at the limits of each adapter, through every verb and product that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from hutong.channels import ActionKind, ChannelAnswer, ChannelState, OrderReference, PayoutRequest, RefundRequest
from hutong.channels.disputes import DisputeResponse
from support.channel_rigs import Rig

TEXT = "糖醋排骨🍖`,/=&{}[]\"'\t\u200d" * 40
"""A text with characters of one to four bytes, and with all that some channel does not take."""


@dataclass(frozen=True)
class Limits:
    """The longest values of a channel, as its adapter takes them.

    Attributes:
        payers: The payer's part by method; several are so many requests.
        pays_at_once: The methods whose orders are paid or ended without a payer.
        return_url_max: 2,000 is the API's own limit.
    """

    attempt_no: int
    refund_no: int
    notify_url_max: int
    return_url_max: int = 2000
    payout_no: int = 0
    payers: Mapping[str, tuple[Mapping[str, str], ...]] = None  # type: ignore[assignment]
    pays_at_once: frozenset[str] = frozenset()


LIMITS = {
    "wechat": Limits(
        attempt_no=32,
        refund_no=32,
        payout_no=33,
        notify_url_max=255,
        payers={
            "wechat_jsapi": ({"openid": "o" * 128}, {"openid": "o"}),
            "wechat_h5": ({"client_ip": "2001:0db8:0000:0000:0000:0000:255.255.255.255"}, {"client_ip": "::"}),
            "wechat_code": ({"auth_code": "15" + "9" * 16}, {"auth_code": "10" + "0" * 15 + "1"}),
        },
        pays_at_once=frozenset({"wechat_code"}),
    ),
    "alipay": Limits(
        attempt_no=64,
        refund_no=64,
        payout_no=64,
        notify_url_max=256,
        return_url_max=256,
        payers={
            "alipay_code": ({"auth_code": "30" + "5" * 22}, {"auth_code": "25" + "0" * 14}),
            "alipay_jsapi": ({"buyer_id": "o" * 128}, {"buyer_id": "2088" + "1" * 12}),
        },
        pays_at_once=frozenset({"alipay_code"}),
    ),
    "unionpay": Limits(
        attempt_no=33,
        refund_no=33,
        notify_url_max=256,
        return_url_max=256,
        payers={
            "unionpay_code": ({"auth_code": "62" + "6" * 22}, {"auth_code": "62" + "6" * 14}),
            "unionpay_collection": ({"agreement": "z" * 128}, {"agreement": "z"}),
        },
        pays_at_once=frozenset({"unionpay_code"}),
    ),
    "stripe": Limits(
        attempt_no=64,
        refund_no=64,
        notify_url_max=2000,
        payers={"card": ({"token": "pm_card_visa"}, {"token": "pm_card_threeDSecure2Required"})},
        pays_at_once=frozenset({"card"}),
    ),
}


def number(prefix: str, length: int) -> str:
    """Return a number of a length that no other one has."""
    return f"{prefix}_{uuid4().hex * 2}"[:length]


def address(length: int) -> str:
    return "https://pay.example/".ljust(length, "n")


def orders(rig: Rig, method: str, now: datetime) -> Iterator[Any]:
    """Yield requests for orders: each amount, life, payer and kind of capture at both its ends.

    Of a further currency there is one by one of the methods, with its least amount.
    """
    limits, can = LIMITS[rig.control.channel], rig.channel.capabilities
    payers = (limits.payers or {}).get(method, ({},))
    turn = list(can.methods).index(method)
    for place, currency in enumerate(sorted(can.methods[method].currencies or can.currencies)):
        if currency != rig.currency and (place + turn) % len(can.methods):
            continue
        for payer in payers if currency == rig.currency else payers[:1]:
            least = max(can.amount_minor_min, can.amount_minor_min_of.get(currency, 0))
            for amount_minor, life, subject in (
                (least, can.expiry_min, "x"),
                (can.amount_minor_max, can.expiry_max, TEXT),
            )[: 2 if currency == rig.currency else 1]:
                yield rig.request(
                    now,
                    method=method,
                    currency=currency,
                    amount_minor=amount_minor,
                    attempt_no=number("att", limits.attempt_no),
                    subject=subject,
                    expires_at=now + life,
                    notify_url=address(limits.notify_url_max),
                    return_url=address(limits.return_url_max),
                    payer=payer,
                    capture=not (can.methods[method].manual_capture and subject == "x"),
                )


async def go_through(rig: Rig, now: datetime, folder: Path) -> None:
    """Call every verb of an adapter at its limits; each order is taken."""
    for method in rig.channel.capabilities.methods:
        for request in orders(rig, method, now):
            answer = await rig.channel.pay(request, now=now)
            assert answer.state is not ChannelState.UNKNOWN, answer
            assert answer.state is not ChannelState.FAILED, answer
            await _open(rig, request, answer)
            placed = OrderReference(
                request.attempt_no,
                method,
                request.amount_minor,
                request.currency,
                now,
                answer.channel_order_no,
                notify_url=request.notify_url,
                capture=request.capture,
            )
            if request.currency == rig.currency:
                await _follow(rig, request, placed, now)
    await _close(rig, now)
    await _answer_disputes(rig, now)
    await _pay_out(rig, now)
    await _fetch_bills(rig, now, folder)
    await rig.channel.diagnose(now=now)


async def _open(rig: Rig, request: Any, answer: ChannelAnswer) -> None:
    """Open the page or the form as the payer's browser does."""
    action, session = answer.action, rig.control.session
    if action is None:
        return
    if action.kind is ActionKind.FORM:
        form = orjson.loads(action.content)
        async with session.post(form["url"], data=form["fields"], allow_redirects=False) as response:
            assert response.status == 302, await response.text()
    elif request.method in ("alipay_page", "alipay_wap", "alipay_app"):
        address = action.content if "://" in action.content[:8] else f"{rig.control.url}/gateway.do?{action.content}"
        async with session.get(address, allow_redirects=False) as response:
            assert response.status == 302, await response.text()


async def _follow(rig: Rig, request: Any, placed: OrderReference, now: datetime) -> None:
    """Let the payer pay, capture, query, and give the money back in the ways that there are."""
    limits, theirs = LIMITS[rig.control.channel], rig.theirs(request.attempt_no)
    shown = next(o for o in (await rig.control.get("orders"))["orders"] if o["order_no"] == theirs)
    if shown["state"] == "open":
        await rig.control.post("pay", order_no=theirs)
    paid = await rig.channel.query(placed, now=now)
    order = replace(placed, channel_order_no=paid.channel_order_no or placed.channel_order_no)
    await rig.channel.query(order, now=now)
    if not request.capture:
        order = replace(order, capture_requested_at=now)
        await rig.channel.capture(order, request.amount_minor, now=now)
    refund = RefundRequest(
        refund_no=number("ref", limits.refund_no),
        order=order,
        amount_minor=request.amount_minor if request.subject == "x" else 1,
        reason=TEXT[:80] if request.subject == "x" else TEXT,
        notify_url=address(limits.notify_url_max),
        created_at=now,
    )
    if rig.channel.capabilities.same_day_void and request.subject == "x":
        await rig.channel.void(refund, now=now)
    given = await rig.channel.refund(refund, now=now)
    await rig.channel.query_refund(replace(refund, channel_refund_no=given.channel_order_no), now=now)
    await rig.channel.query_refund(refund, now=now)


async def _close(rig: Rig, now: datetime) -> None:
    """Close an order of each method that nobody has paid."""
    waiting = {
        "wechat_code": {"auth_code": "13" + "0" * 16},
        "alipay_code": {"auth_code": "28763443825664399"},
        "unionpay_code": {"auth_code": "62" + "0" * 17},
        "card": {"token": "pm_card_threeDSecure2Required"},
    }
    for method in rig.channel.capabilities.methods:
        payer = waiting.get(method) or (LIMITS[rig.control.channel].payers or {}).get(method, ({},))[0]
        capture = not rig.channel.capabilities.methods[method].manual_capture
        request = rig.request(now, method=method, payer=payer, capture=capture)
        answer = await rig.channel.pay(request, now=now)
        await _open(rig, request, answer)
        if not capture and rig.control.channel == "unionpay":
            await rig.control.post("pay", order_no=rig.theirs(request.attempt_no))
        order = OrderReference(
            request.attempt_no,
            method,
            request.amount_minor,
            request.currency,
            now,
            answer.channel_order_no,
            notify_url=request.notify_url,
            capture=capture,
            close_requested_at=now,
        )
        later = now + timedelta(seconds=15)  # WeChat reverses no payment by code before
        await rig.channel.close(order, now=later)
        await rig.channel.close(replace(order, channel_order_no=None), now=later)


async def _answer_disputes(rig: Rig, now: datetime) -> None:
    """Let payers dispute an order of each method, and answer with texts of each length that may be sent."""
    rule = rig.channel.capabilities.disputes
    if rule is None:
        return
    orders = [order for order in (await rig.control.get("orders"))["orders"] if order["state"] == "paid"]
    by_method = {order["method"]: order["order_no"] for order in orders}
    for order_no in by_method.values():
        disputed = await rig.control.session.post(
            f"{rig.control.url}/control/{rig.control.channel}/dispute", json={"order_no": order_no}
        )
        if disputed.status != 200:
            continue
        dispute_no = (await disputed.json())["dispute_no"]
        # Alipay's service has an interface of its own for what is stated once it considers a complaint.
        by_service = ((False, "服"),) if rig.control.channel == "alipay" else ()
        for accepts, letter in ((False, "x"), (True, "茶"), *by_service):
            if letter == "服":
                move = {"number": dispute_no, "status": "PLATFORM_PROCESSING"}
                await rig.control.session.post(f"{rig.control.url}/control/alipay/move", json=move)
            evidence = {name: letter * length for name, length in rule.evidence.items()}
            evidence |= {"result": "03" if len(dispute_no) > 19 else "REFUND"} if "result" in evidence else {}
            evidence = {name: text[: 150_000 // len(evidence)] for name, text in evidence.items()}
            evidence = evidence if rule.required or not accepts else {}
            response = DisputeResponse(number("dsp", 30), dispute_no, evidence, accepts=accepts and rule.accepts)
            await rig.channel.respond_to_dispute(response, now=now)
        await rig.channel.query_dispute(dispute_no, now=now)
    await rig.channel.list_disputes(rig.bill_day(now), now=now)


async def _pay_out(rig: Rig, now: datetime) -> None:
    if not rig.channel.capabilities.payout_methods:
        return
    limits, is_wechat = LIMITS[rig.control.channel], rig.control.channel == "wechat"
    payees = (
        [{"openid": "o" * 64}, {"openid": "o"}]
        if is_wechat
        else [
            {"identity_type": kind, "identity": "1" * 64, "name": "某" * 64}
            for kind in ("ALIPAY_USER_ID", "ALIPAY_LOGON_ID", "ALIPAY_OPEN_ID")
        ]
    )
    for payee in payees:
        for amount_minor, remark in ((1 if is_wechat else 10, "x"), (199_999 if is_wechat else 10**10, TEXT)):
            payout = PayoutRequest(
                payout_no=number("pay", limits.payout_no),
                amount_minor=amount_minor,
                currency="CNY",
                payee=payee,
                remark=remark,
                notify_url=address(limits.notify_url_max),
            )
            await rig.channel.payout(payout, now=now)
            await rig.channel.query_payout(payout, now=now)


async def _fetch_bills(rig: Rig, now: datetime, folder: Path) -> None:
    rule, day = rig.channel.capabilities.bill, rig.bill_day(now)
    assert rule is not None
    for kind in rule.kinds:
        await rig.control.post("bill", day=day.isoformat(), kind=kind)
        await rig.channel.download_bill(kind, day, folder, now=rig.bill_now(now, day) + timedelta(seconds=1))
