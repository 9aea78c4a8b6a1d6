"""The properties of an adapter and its simulator for the contract tests. Each channel has a module here.

Its function `make_rig(name, bench)` makes the rig for one of the names that `NAMES` lists: "<channel>" alone, or
"<channel>-<variant>" for another kind of account.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson

from hutong.channels import ActionKind, Channel, ChannelAnswer, ChannelState, Codes, Http, OrderReference, PayRequest
from hutong.channels.codes.codes import load_codes

NAMES = ("wechat", "wechat-partner", "alipay", "alipay-partner", "stripe", "unionpay", "unionpay-pfx")
INTERFACES = ("place", "query", "close")
UNPROVEN = {
    "unsigned": "unsigned",
    "bad_signature": "bad_signature",
    "stale": "stale",
    "malformed": "unreadable",
    "too_long": "no_answer",
}
"""The kinds of wrong answers that prove nothing, of a channel that signs its answers and their time."""
NO_BASE_URL = {"base_url": "http://127.0.0.1:1"}


@dataclass
class Control:
    """The control API of one simulated channel."""

    url: str
    session: aiohttp.ClientSession
    channel: str = "wechat"

    async def post(self, path: str, **fields: object) -> Any:
        async with self.session.post(f"{self.url}/control/{self.channel}/{path}", json=fields) as response:
            assert response.status < 400, await response.text()
            return await response.json()

    async def get(self, path: str) -> Any:
        async with self.session.get(f"{self.url}/control/{self.channel}/{path}") as response:
            response.raise_for_status()
            return await response.json()


@dataclass(frozen=True)
class Bench:
    """The running sandbox, its folder (with each channel's keys below it), and the means to call it."""

    url: str
    folder: Path
    other_folder: Path
    """The folder of another sandbox, with other keys."""
    http: Http
    session: aiohttp.ClientSession


@dataclass
class Rig:
    """One adapter with its simulator.

    Attributes:
        channel: The adapter, called over the network.
        make: Makes the adapter again, with another `Http` (`http=`) or with changed credentials.
        method, currency, amount_minor: Of the orders that the tests place. An order is open until its payer pays.
        payer: The values that the method needs from the payer.
        refusal: Status and code with which the channel refuses an order permanently.
        absent: Status and code with which the channel answers that it does not know the number.
        unproven: Kinds of wrong answers that prove nothing, with the `channel_code` that the adapter then returns. A
            channel that signs no answers has no "unsigned" ones, for example.
        harmless: Interface and kind of those wrong answers that the protocol cannot tell from a good one.
        stranger: Credentials under which answers are signed with a key that we do not hold; None if none are signed.
        no_base_url: Credentials with an address where no server listens.
        placed: The queried state of an order that was placed and not paid yet; some channels know an order only once
            its payer has opened it.
        closed_unseen: The result of closing an order that the channel does not know.
        declined: The queried state after the payer's bank has declined.
        notice_window: The greatest age of a notification; None if it has no signed time.
        payee: The recipient of the payouts that the tests send.
        notifies_refunds, notifies_payouts: Whether the channel reports their outcome.
        has_coupons: Whether payers can use coupons, so that the sums of a payment differ.
        funders: Whom the channel names as the funder of a coupon, where it cannot name the party itself.
        signed_each_time: Whether each repetition of a notification has its own signature, so that the same is a replay.
    """

    channel: Channel
    make: Callable[..., Channel]
    control: Control
    method: str
    currency: str
    refusal: tuple[int, str]
    absent: tuple[int, str]
    stranger: Mapping[str, object] | None
    unproven: Mapping[str, str] = field(default_factory=lambda: UNPROVEN)
    no_base_url: Mapping[str, object] = field(default_factory=lambda: NO_BASE_URL)
    amount_minor: int = 8800
    payer: Mapping[str, str] = field(default_factory=dict)
    harmless: frozenset[tuple[str, str]] = frozenset()
    placed: ChannelState = ChannelState.PENDING
    closed_unseen: ChannelState = ChannelState.NOT_FOUND
    declined: ChannelState = ChannelState.FAILED
    notice_window: timedelta | None = None
    signed_each_time: bool = False
    payee: Mapping[str, str] = field(default_factory=dict)
    notifies_refunds: bool = True
    notifies_payouts: bool = False
    has_coupons: bool = True
    funders: Mapping[str, str] = field(default_factory=dict)

    def request(self, now: datetime, **changed: Any) -> PayRequest:
        fields: dict[str, Any] = {
            "attempt_no": number("att"),
            "method": self.method,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "subject": "糖醋排骨 🍖",
            "expires_at": now + timedelta(minutes=5),
            "notify_url": "http://127.0.0.1:1/notify",
            "return_url": "https://shop.example/thanks",
            "payer": self.payer,
            "placed_at": now,
        } | changed
        return PayRequest(**fields)

    async def next(self, interface: str, kind: str, **fields: object) -> None:
        await self.control.post("next", interface=interface, kind=kind, **fields)

    async def next_release(self, interface: str, kind: str, **fields: object) -> None:
        """Fault the next capture, or the next close of reserved money."""
        await self.control.post("next", interface=interface, kind=kind, **fields)

    async def open(self, placed: ChannelAnswer) -> None:
        """The payer's browser posts the form, where an order is made by that."""
        if placed.action is not None and placed.action.kind is ActionKind.FORM:
            form = orjson.loads(placed.action.content)
            await self.control.session.post(form["url"], data=form["fields"], allow_redirects=False)

    async def pay(self, request: PayRequest, **fields: object) -> None:
        """The payer pays."""
        await self.control.post("pay", order_no=self.theirs(request.attempt_no), **fields)

    @property
    def closable(self) -> bool:
        """Whether the channel can be asked to close an order; otherwise it ends by its time alone."""
        return self.channel.capabilities.methods[self.method].closable

    def theirs(self, our_no: str) -> str:
        """Our number as the channel sees it, where its alphabet does not take ours."""
        return our_no

    def bill_day(self, now: datetime) -> date:
        """The day in whose bill the channel puts what happens now."""
        rule = self.channel.capabilities.bill
        assert rule is not None
        return (now + rule.utc_offset).date()

    def bill_now(self, now: datetime, day: date) -> datetime:
        """Return when to request the bill of a day that the control API has closed early.

        An adapter that checks the hour itself gets a later one.
        """
        return now

    def ours(self, their_no: str) -> str:
        """Undoes `theirs`."""
        return their_no

    async def call(self, interface: str, request: PayRequest, now: datetime) -> Any:
        if interface == "place":
            return await self.channel.pay(request, now=now)
        verb = self.channel.query if interface == "query" else self.channel.close
        return await verb(order_of(request), now=now)


def order_of(request: PayRequest, channel_order_no: str | None = None) -> OrderReference:
    placed_at = request.placed_at or datetime.now(UTC)
    return OrderReference(
        request.attempt_no,
        request.method,
        request.amount_minor,
        request.currency,
        placed_at,
        channel_order_no,
        notify_url=request.notify_url,
        capture=request.capture,
    )


def number(prefix: str) -> str:
    """A number as the platform gives it, unlike any other."""
    return f"{prefix}_{uuid4().hex[:26]}"


def maker(
    adapter: Any, credentials: Mapping[str, object], bench: Bench, *, stored: bool = False
) -> Callable[..., Channel]:
    """The function that makes the adapter on the bench, with another `Http` or with changed credentials.

    Args:
        stored: The credentials count as checked before, which saves the slow proof of a key.
    """

    def make(*, http: Http | None = None, **changed: object) -> Channel:
        context = {"sandbox": True, "stored": stored}
        model = adapter.Credentials.model_validate({**credentials, **changed}, context=context)
        return adapter(model, http or bench.http, Codes(load_codes(adapter.code_map)))

    return make


def make_rig(name: str, bench: Bench) -> Rig:
    rig: Rig = importlib.import_module(f"support.channel_rigs.{name.partition('-')[0]}").make_rig(name, bench)
    return rig
