"""What the contract tests need to know of an adapter and its simulator. Each channel has a module here.

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

from hutong.channels import Channel, ChannelState, Http, OrderReference, PayRequest

NAMES = ("wechat", "wechat-certificate", "alipay", "alipay-certificate", "stripe", "unionpay", "unionpay-pfx")
INTERFACES = ("place", "query", "close")


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
    """What a rig is made from: the running sandbox, its folder (each channel's keys below it), and a way to call it."""

    url: str
    folder: Path
    other_folder: Path
    """The folder of a sandbox with keys of its own: somebody else's."""
    http: Http
    session: aiohttp.ClientSession


@dataclass
class Rig:
    """One adapter with its simulator.

    Attributes:
        channel: The adapter, called over the network.
        make: Makes the adapter again: `http=` is another `Http`, all else is changed credentials.
        method, currency, amount_minor: Of the orders that the tests place. Placing one leaves it open, for the payer.
        payer: What the method asks of the payer.
        refusal: Status and code by which the channel refuses an order for good.
        absent: Status and code by which the channel says that it does not know the number.
        unproven: Kinds of wrong answers of which the adapter must believe nothing, with the `channel_code` that it
            then reports; what the channel does not sign cannot be "unsigned", for one.
        harmless: Interface and kind of those of them that this channel's protocol cannot tell from a good answer.
        stranger: Credentials under which answers are signed with a key that we do not hold; None if none are signed.
        no_base_url: Credentials that point to an address where nobody listens.
        placed: What a query tells of an order that was placed and not paid yet; some channels know it only once the
            payer has come.
        closed_unseen: What closing an order tells that the channel does not know.
        declined: What a query tells after the payer's bank has declined.
        notice_window: How old a notification may be; None if it tells no time.
        payee: Who receives the payouts that the tests send.
        notifies_refunds, notifies_payouts: Whether the channel reports their outcome.
        signed_anew: Whether each repetition of a notification is signed anew, so that the same twice is a replay.
    """

    channel: Channel
    make: Callable[..., Channel]
    control: Control
    method: str
    currency: str
    refusal: tuple[int, str]
    absent: tuple[int, str]
    unproven: Mapping[str, str]
    stranger: Mapping[str, object] | None
    no_base_url: Mapping[str, object]
    amount_minor: int = 8800
    payer: Mapping[str, str] = field(default_factory=dict)
    harmless: frozenset[tuple[str, str]] = frozenset()
    placed: ChannelState = ChannelState.PENDING
    closed_unseen: ChannelState = ChannelState.NOT_FOUND
    declined: ChannelState = ChannelState.FAILED
    notice_window: timedelta | None = None
    signed_anew: bool = False
    payee: Mapping[str, str] = field(default_factory=dict)
    notifies_refunds: bool = True
    notifies_payouts: bool = False

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
        """When to ask for the bill of a day that the control API has closed early; an adapter that looks at the hour
        itself is asked with a later one."""
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
        request.attempt_no, request.method, request.amount_minor, request.currency, placed_at, channel_order_no
    )


def number(prefix: str) -> str:
    """A number as the platform gives it, unlike any other."""
    return f"{prefix}_{uuid4().hex[:26]}"


def make_rig(name: str, bench: Bench) -> Rig:
    rig: Rig = importlib.import_module(f"support.channel_rigs.{name.partition('-')[0]}").make_rig(name, bench)
    return rig
