"""A small channel that keeps its word: an implementation of the Channel protocol for tests of the flow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from hutong.channels import (
    ActionKind,
    Capabilities,
    Channel,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    NotificationRefused,
    Offer,
    PayerAction,
    PaymentMethod,
    PayRequest,
)
from hutong.channels import OrderReference as ChannelOrder
from hutong.errors import NotFound

CAPABILITIES = Capabilities(
    channel="test",
    methods={
        "test_qr": PaymentMethod(ActionKind.QR_CODE),
        "test_card": PaymentMethod(ActionKind.REDIRECT, frozenset({"token"}), closable=False, manual_capture=True),
        "test_barcode": PaymentMethod(None, frozenset({"auth_code"}), decided_within=timedelta(seconds=30)),
    },
    currencies=frozenset({"CNY"}),
    amount_minor_min=1,
    amount_minor_max=1_000_000,
    expiry_min=timedelta(minutes=1),
    expiry_max=timedelta(hours=2),
    resubmits=True,
    partial_capture=True,
    authorization_kept=timedelta(days=7),
)
ACCEPTANCE, REFUSAL = HttpAnswer(204), HttpAnswer(401)
NOTHING = ChannelAnswer(ChannelState.UNKNOWN, channel_code="no_answer")


@dataclass
class Order:
    request: PayRequest
    state: ChannelState = ChannelState.PENDING
    captured_minor: int | None = None
    currency: str | None = None
    intents: set[datetime | None] = field(default_factory=set)
    """When the capture or the release was requested, by the calls about it."""


@dataclass
class HonestChannel(Channel):
    """Orders by number. `reachable` and `replies` say what the network does; `before_pay` runs first."""

    capabilities: Capabilities = CAPABILITIES
    acceptance: HttpAnswer = ACCEPTANCE
    refusal: HttpAnswer = REFUSAL
    orders: dict[str, Order] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    reachable: bool = True
    replies: bool = True
    before_close: Callable[[], Awaitable[None] | None] | None = None

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        self.calls.append(("pay", request.attempt_no))
        if not self.reachable:
            return NOTHING
        known = self.orders.setdefault(request.attempt_no, Order(request))
        assert known.request == request, "the same number must ask for the same thing"
        kind = self.capabilities.methods[request.method].action and ActionKind.QR_CODE
        action = None if kind is None else PayerAction(kind, f"qr:{request.attempt_no}")
        return self._answer(known, ChannelAnswer(known.state, action=action))

    async def query(self, order: ChannelOrder, *, now: datetime) -> ChannelAnswer:
        attempt_no = order.attempt_no
        self.calls.append(("query", attempt_no))
        if not self.reachable:
            return NOTHING
        if attempt_no not in self.orders:
            return ChannelAnswer(ChannelState.NOT_FOUND, channel_code="ORDER_NOT_EXIST")
        return self._answer(self.orders[attempt_no])

    async def close(self, order: ChannelOrder, *, now: datetime) -> ChannelAnswer:
        attempt_no = order.attempt_no
        self.calls.append(("close", attempt_no))
        if self.before_close is not None:
            self.before_close()
        if not self.reachable:
            return NOTHING
        known = self.orders[attempt_no]
        if known.state is ChannelState.AUTHORIZED:
            known.intents.add(order.close_requested_at)
            assert len(known.intents - {None}) == 1, "a release has one time, and excludes a capture"
        if known.state in (ChannelState.PENDING, ChannelState.AUTHORIZED):
            known.state = ChannelState.CLOSED
        return self._answer(known)

    async def capture(self, order: ChannelOrder, amount_minor: int, *, now: datetime) -> ChannelAnswer:
        self.calls.append(("capture", order.attempt_no))
        if not self.reachable:
            return NOTHING
        known = self.orders[order.attempt_no]
        known.intents.add(order.capture_requested_at)
        assert len(known.intents - {None}) == 1, "a capture has one time, and excludes a release"
        assert not order.capture
        assert order.notify_url
        if known.state is ChannelState.AUTHORIZED:
            known.state, known.captured_minor = ChannelState.SUCCEEDED, amount_minor
        return self._answer(known)

    def payer_pays(self, attempt_no: str) -> None:
        order = self.orders[attempt_no]
        order.state = ChannelState.SUCCEEDED if order.request.capture else ChannelState.AUTHORIZED

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        if headers.get("x-proof") != "genuine":
            raise NotificationRefused("not proven", is_unreadable=headers.get("x-proof") == "unreadable")
        attempt_no = body.decode()
        order = self.orders.get(attempt_no)
        answer = self._answer(order) if order else ChannelAnswer(ChannelState.SUCCEEDED, 1, "CNY")
        if "x-named" in headers:
            return Notification(f"named {attempt_no}", ChannelAnswer(ChannelState.UNKNOWN), is_named_only=True)
        return Notification(attempt_no, answer, replay_key=headers.get("x-key", "").encode() or None)

    async def complete_notification(self, notification: Notification, *, now: datetime) -> Notification | None:
        attempt_no = notification.number.removeprefix("named ")
        answer = self._answer(self.orders[attempt_no])
        return Notification(attempt_no, answer) if self.reachable else None

    def _answer(self, order: Order, answer: ChannelAnswer | None = None) -> ChannelAnswer:
        if not self.replies:
            return NOTHING
        answer = answer or ChannelAnswer(order.state)
        amount_minor = order.captured_minor or order.request.amount_minor
        return replace(answer, amount_minor=amount_minor, currency=order.currency or order.request.currency)


@dataclass
class OneAccount:
    """Channel accounts, of which there is one."""

    account_id: UUID
    channel: HonestChannel
    enabled: bool = True

    async def get(self, account_id: UUID) -> HonestChannel:
        if account_id != self.account_id:
            raise NotFound("no channel account has this id")
        return self.channel

    def text(self, channel: str, code: str) -> None:
        """Return no text for payers: this channel's codes have none."""

    def unreadable(self, *, sandbox: bool) -> list[str]:
        return []

    async def offers(self, *, ahead: bool = False) -> list[Offer]:
        return [Offer(self.account_id, self.channel.capabilities, sandbox=False)] if self.enabled else []
