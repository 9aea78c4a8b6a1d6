"""A channel as bad as real ones: slow, deaf, forgetful, repetitive, sometimes contradicting itself, but it keeps a log
of the money that it moved, which is the truth that everything is held against."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from hutong.channels import (
    About,
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
    RefundRequest,
    RefundRule,
)
from hutong.channels import OrderReference as ChannelOrder
from hutong.channels.disputes import DisputeReport, DisputeState
from hutong.channels.sums import ChannelDiscount, DiscountFunder, ReturnedSums, Sums
from hutong.errors import NotFound

TIMEOUT_S = 10.0
LIE_MAX_S = 240.0
"""How long a channel may still say "no such order" of one it has; below the grace that the platform gives it."""

_S = ChannelState
_NOTHING = ChannelAnswer(_S.UNKNOWN, channel_code="no_answer")


@dataclass
class Weather:
    """How bad this channel is in one simulation; each number is a probability.

    Attributes:
        lost, slow: Of a message on its way.
        hidden: That a new order is not found for a while.
        refused, at_once: That a payment is refused, or succeeds without more ado.
        late: That money is taken although the order has ended.
        repeated, silent: That a notification comes several times, or never.
        garbled: That a genuine message is about another amount than the order's.
        doubtful, denied: That a refund takes its time, or is refused, at once or after it was accepted.
        paid: That the payer pays at all.
        returned: That a refund fails after its success.
        portal: That a person gives a part of a payment back in the channel's portal.
        coupons: That the payer uses coupons, so that the sums of a payment differ.
        disputes: That the payer disputes a payment at the bank.
    """

    lost: float = 0.0
    slow: float = 0.0
    hidden: float = 0.0
    refused: float = 0.0
    at_once: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    silent: float = 0.0
    garbled: float = 0.0
    doubtful: float = 0.0
    denied: float = 0.0
    paid: float = 0.8
    returned: float = 0.0
    portal: float = 0.0
    coupons: float = 0.0
    disputes: float = 0.0

    @classmethod
    def draw(cls, rng: Random) -> Weather:
        """Most simulations have few kinds of trouble, and then enough of each to meet."""

        def some(*choices: float) -> float:
            return rng.choice((0.0, 0.0, *choices))

        return cls(
            lost=some(0.1, 0.4),
            slow=some(0.2, 0.5),
            hidden=some(0.3, 0.8),
            refused=some(0.1, 0.3),
            at_once=some(0.2),
            late=some(0.5, 1.0),
            repeated=some(0.3, 0.8),
            silent=some(0.5),
            garbled=some(0.3),
            doubtful=some(0.4, 0.9),
            denied=some(0.2, 0.6),
            paid=rng.choice((0.6, 0.9, 1.0)),
        )

    def with_people(self, rng: Random) -> Weather:
        """The same weather, with banks that return refunds and people who use the channel's portal."""
        return replace(self, returned=rng.choice((0.0, 0.0, 0.5)), portal=rng.choice((0.0, 0.0, 0.0, 0.7)))

    def with_coupons(self, wallet: Random) -> Weather:
        """The same weather, with payers who have coupons."""
        return replace(self, coupons=wallet.choice((0.0, 0.7, 1.0)))

    def with_disputes(self, court: Random) -> Weather:
        """The same weather, with payers who dispute payments."""
        return replace(self, disputes=court.choice((0.0, 0.0, 0.8)))

    @classmethod
    def fine(cls) -> Weather:
        return cls()


@dataclass
class Order:
    """What the channel knows of one order."""

    request: PayRequest
    state: ChannelState
    seen_from: float
    taken: list[int] = field(default_factory=list)
    """Each time that money was taken, and how much."""
    given: dict[str, int] = field(default_factory=dict)
    """What is back with the payer or on its way, by number."""
    must_notify: bool = False
    """Told until somebody takes the word, for nobody may ask any more."""
    sums: Sums | None = None
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """What the payer gets of each refund in `given`, and what it takes back from the settlement."""
    capture_times: set[datetime | None] = field(default_factory=set)
    release_times: set[datetime | None] = field(default_factory=set)
    """When a capture or a release was requested, by the calls about it."""

    @property
    def settled_minor(self) -> int:
        return sum(self.taken) if self.sums is None else self.sums.settled_minor

    @property
    def paid_minor(self) -> int:
        return sum(self.taken) if self.sums is None else self.sums.paid_minor


@dataclass
class RefundOrder:
    """What the channel knows of one refund."""

    refund: RefundRequest
    state: ChannelState
    retryable: bool = False
    by_portal: bool = False
    must_notify: bool = False
    """Told until somebody takes the word, for nobody asks."""


@dataclass
class Disputed:
    """What the channel knows of one dispute: all that it has stated, first to last."""

    statements: list[DisputeReport]

    @property
    def last(self) -> DisputeReport:
        return self.statements[-1]


@dataclass
class ChannelWorld:
    """The channel's own side, which outlives every process of ours.

    Args:
        deliver: Posts a notification to the platform; gives back whether it was accepted.
        people: What banks and people in the portal do.
        wallet: The coupons that payers have, and what the channel says about the parts of refunds.
        court: The disputes, and how they end.
        counts: Whether a payment counts the order with this number.
    """

    loop: asyncio.AbstractEventLoop
    clock: Callable[[], datetime]
    rng: Random
    weather: Weather
    deliver: Callable[[Mapping[str, str], bytes, Callable[[bool], None]], None]
    note: Callable[[str], None]
    people: Random
    wallet: Random
    court: Random
    counts: Callable[[str], bool]
    resubmits: bool = True
    voids: bool = False
    authorization_kept_s: float = 120.0
    orders: dict[str, Order] = field(default_factory=dict)
    refunds: dict[str, RefundOrder] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)
    """What came back to the settlement after it had been given back, by the refund's number."""
    disputes: dict[str, Disputed] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    states_parts: bool = field(init=False)
    """Whether the channel states a refund's part of each sum; some state only its amount."""
    _round_up: int = field(init=False)
    _messages: int = 0

    def __post_init__(self) -> None:
        self.states_parts = self.wallet.random() < 0.4
        self._round_up = self.wallet.choice((0, 1, 2))

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    async def call(self, verb: str, number: str, act: Callable[[], ChannelAnswer]) -> ChannelAnswer:
        """One request over a bad network: it may not arrive, arrive late, and its answer may not come back."""
        answer: asyncio.Future[ChannelAnswer] = self.loop.create_future()
        way = self.rng.uniform(0.01, 0.5)
        if self.chance(self.weather.slow):
            way = self.rng.choice((self.rng.uniform(0.5, 9), self.rng.uniform(TIMEOUT_S, 60)))
        if self.chance(self.weather.lost):
            self.note(f"channel {verb} {number} lost")
        else:
            back = None if self.chance(self.weather.lost) else self.rng.uniform(0.01, 0.5)
            # In a context of its own: what has been sent does not die with the process that has sent it.
            self.loop.call_later(way, self._arrive, verb, number, act, answer, back, context=Context())
        self.loop.call_later(TIMEOUT_S, _settle, answer, _NOTHING)
        return await answer

    def _arrive(
        self,
        verb: str,
        number: str,
        act: Callable[[], ChannelAnswer],
        answer: asyncio.Future[ChannelAnswer],
        back: float | None,
    ) -> None:
        result = act()
        self.note(f"channel {verb} {number} -> {result.state.value}{'' if back else ' (answer lost)'}")
        if back is not None:
            self.loop.call_later(back, _settle, answer, result)

    # Orders

    def pay(self, request: PayRequest) -> ChannelAnswer:
        order = self.orders.get(request.attempt_no)
        if order is None:
            order = self._new_order(request)
        elif order.request != request:
            self.problems.append(f"{request.attempt_no} asks for something else than before")
        return self.order_answer(order, action=True)

    def _new_order(self, request: PayRequest) -> Order:
        now = self.loop.time()
        hidden = self.rng.uniform(1, LIE_MAX_S - 70) if self.chance(self.weather.hidden) else 0.0
        order = Order(request, _S.PENDING, now + hidden)
        self.orders[request.attempt_no] = order
        if self.chance(self.weather.garbled):
            wrong = ChannelAnswer(_S.SUCCEEDED, request.amount_minor + 1, request.currency)
            self._notify(request.attempt_no, About.PAYMENT, wrong, self.rng.uniform(0.1, 5), sent_before=0)
        if self.chance(self.weather.refused):
            order.state = _S.FAILED
            self._perhaps_late(order)
        elif self.chance(self.weather.at_once):
            self._agree(order)
        elif self.chance(self.weather.paid):
            left = max(0.0, (request.expires_at - self.clock()).total_seconds())
            after = self.rng.choice((self.rng.uniform(0.1, 6), self.rng.uniform(0, 90), left + self.rng.uniform(-3, 1)))
            self.loop.call_later(max(0.05, after), self._payer_pays, order)
        return order

    def _payer_pays(self, order: Order) -> None:
        if order.state is _S.PENDING and self.clock() < order.request.expires_at:
            self._agree(order)

    def _agree(self, order: Order) -> None:
        """The payer has agreed: the money moves, or is reserved."""
        if order.request.capture:
            self._take(order, order.request.amount_minor)
            return
        order.state = _S.AUTHORIZED
        self.note(f"channel reserves the money of {order.request.attempt_no}")
        self.loop.call_later(self.authorization_kept_s + self.rng.uniform(0, 20), self._lapse, order)
        self._announce(order)

    def _lapse(self, order: Order) -> None:
        if order.state is _S.AUTHORIZED:
            order.state = _S.CLOSED

    def _take(self, order: Order, amount_minor: int) -> None:
        if order.taken:
            return
        order.state = _S.SUCCEEDED
        order.taken.append(amount_minor)
        if order.request.capture and self.wallet.random() < self.weather.coupons:
            order.sums = self._use_coupons(amount_minor)
        self.note(f"channel takes {amount_minor} of {order.request.attempt_no}")
        if self.people.random() < self.weather.portal:
            self.loop.call_later(self.people.uniform(5, 90), self._give_back_in_portal, order)
        if self.court.random() < self.weather.disputes:
            self.loop.call_later(self.court.uniform(3, 70), self._dispute, order)
        self._announce(order)

    def _use_coupons(self, amount_minor: int) -> Sums:
        """The channel bears one coupon and the merchant another, or only one of them does."""
        settles, borne = (self.wallet.choice((0, 1, self.wallet.randrange(1 + amount_minor // 3))) for _ in range(2))
        coupons = (("channel", DiscountFunder.CHANNEL, settles), ("shop", DiscountFunder.MERCHANT, borne))
        return Sums(
            amount_minor,
            amount_minor - settles - borne,
            amount_minor - borne,
            tuple(
                ChannelDiscount(name, funder, part, settles=funder is DiscountFunder.CHANNEL)
                for name, funder, part in coupons
                if part
            ),
        )

    def _perhaps_late(self, order: Order) -> None:
        """The payer's bank was faster than the word of the end, so that the money moves all the same."""
        if order.request.capture and self.chance(self.weather.late):
            order.must_notify = self.rng.random() < 0.7
            after = self.rng.choice((0.05, self.rng.uniform(0, 60)))
            self.loop.call_later(after, self._take, order, order.request.amount_minor)

    def query(self, number: str) -> ChannelAnswer:
        order = self.orders.get(number)
        if order is None or self.loop.time() < order.seen_from:
            return ChannelAnswer(_S.NOT_FOUND, channel_code="ORDER_NOT_EXIST")
        return self.order_answer(order)

    def close(self, number: str, requested_at: datetime | None) -> ChannelAnswer:
        order = self.orders.get(number)
        if order is None:
            return ChannelAnswer(_S.NOT_FOUND, channel_code="ORDER_NOT_EXIST")
        if order.state in (_S.PENDING, _S.AUTHORIZED):
            if order.state is _S.AUTHORIZED:
                order.release_times.add(requested_at)
                self._check_times(order)
            order.state = _S.CLOSED
            self._perhaps_late(order)
        return self.order_answer(order)

    def _check_times(self, order: Order) -> None:
        """Some channels know a capture or a release by the time of its request: there is one, of one of the two."""
        if len(order.capture_times) + len(order.release_times) > 1 or None in order.capture_times | order.release_times:
            times = f"{order.capture_times} and {order.release_times}"
            self.problems.append(f"{order.request.attempt_no} is captured and released as of {times}")

    def capture(self, number: str, amount_minor: int, requested_at: datetime | None) -> ChannelAnswer:
        order = self.orders.get(number)
        if order is None:
            return ChannelAnswer(_S.NOT_FOUND, channel_code="ORDER_NOT_EXIST")
        order.capture_times.add(requested_at)
        self._check_times(order)
        if order.taken and order.taken != [amount_minor]:
            self.problems.append(f"{number} was captured with {order.taken} and shall be with {amount_minor}")
        if order.state is _S.AUTHORIZED:
            if self.chance(self.weather.refused):
                order.state = _S.FAILED
            else:
                self._take(order, amount_minor)
        return self.order_answer(order)

    def order_answer(self, order: Order, *, action: bool = False) -> ChannelAnswer:
        """What the channel says of an order now."""
        amount = {_S.SUCCEEDED: sum(order.taken), _S.AUTHORIZED: order.request.amount_minor}.get(order.state)
        qr = PayerAction(ActionKind.QR_CODE, f"qr:{order.request.attempt_no}")
        return ChannelAnswer(
            order.state,
            amount,
            order.request.currency if amount else None,
            action=qr if action and order.state is _S.PENDING else None,
            sums=order.sums if order.state is _S.SUCCEEDED else None,
        )

    # Refunds

    def refund(self, refund: RefundRequest) -> ChannelAnswer:
        asked = replace(refund, channel_refund_no=None, order=replace(refund.order, channel_order_no=None))
        known = self.refunds.get(refund.refund_no)
        if known is not None and known.refund != asked:
            self.problems.append(f"{refund.refund_no} asks for something else than before")
        if known is None or (known.state is _S.FAILED and known.retryable):
            known = self.refunds[refund.refund_no] = RefundOrder(asked, _S.PENDING)
            self._decide(known)
        return self.refund_answer(refund.refund_no)

    def _decide(self, known: RefundOrder) -> None:
        number, amount = known.refund.refund_no, known.refund.amount_minor
        order = self.orders.get(known.refund.order.attempt_no)
        exceeds = order is None or sum(order.given.values()) + amount > sum(order.taken)
        if order is not None and exceeds and any(self.refunds[given].by_portal for given in order.given):
            known.state = _S.FAILED  # as it should: a person has given that much back already
            return
        if order is None or exceeds:
            self.problems.append(f"{number} asks for more back than was taken")
            known.state = _S.FAILED
            return
        if self.chance(self.weather.doubtful):
            self._give(order, number, amount)
            self.loop.call_later(self.rng.choice((self.rng.uniform(0.1, 5), 60.0)), self._end_refund, known, order)
        else:
            self._end_refund(known, order)

    def _end_refund(self, known: RefundOrder, order: Order) -> None:
        number = known.refund.refund_no
        if self.chance(self.weather.denied):
            # A void that is refused once is refused for ever, since the money goes back by another way then.
            known.state, known.retryable = _S.FAILED, self.rng.random() < 0.5 and not number.startswith("rvo_")
            order.given.pop(number, None)
            order.parts.pop(number, None)
        else:
            known.state = _S.SUCCEEDED
            self._give(order, number, known.refund.amount_minor)
            self.note(f"channel gives {known.refund.amount_minor} back by {number}")
            if self.people.random() < self.weather.returned:
                self.loop.call_later(self.people.uniform(1, 60), self._return, known, order)
        if not self.chance(self.weather.silent):
            self._notify(number, About.REFUND, self.refund_answer(number), self.rng.uniform(0.05, 3), sent_before=0)

    def _give(self, order: Order, number: str, amount_minor: int) -> None:
        """Give back a part of what is left of each sum, in proportion, rounded in this channel's own way."""
        if number in order.given:
            return
        left_minor = sum(order.taken) - sum(order.given.values())
        parts = tuple(order.parts.values())
        paid_left = order.paid_minor - sum(paid for paid, _ in parts)
        settled_left = order.settled_minor - sum(settled for _, settled in parts)
        order.given[number] = amount_minor
        order.parts[number] = (
            self._share(paid_left, amount_minor, left_minor),
            self._share(settled_left, amount_minor, left_minor),
        )

    def _share(self, part_left: int, amount_minor: int, left_minor: int) -> int:
        rounding = (left_minor - 1) * self._round_up // 2
        return min(amount_minor, (part_left * amount_minor + rounding) // left_minor)

    def _return(self, known: RefundOrder, order: Order) -> None:
        """The payer's bank returns a refund, and nobody asks: the word of it is repeated until it is taken."""
        number = known.refund.refund_no
        known.state, known.must_notify = _S.FAILED, True
        del order.given[number]
        self.returned[number] = order.parts.pop(number)[1]
        self.note(f"channel has {number} back")
        self._notify(number, About.REFUND, self.refund_answer(number), self.people.uniform(0.05, 3), sent_before=0)

    def _give_back_in_portal(self, order: Order) -> None:
        """A person gives money back in the portal, if a payment counts it."""
        left, attempt_no = sum(order.taken) - sum(order.given.values()), order.request.attempt_no
        if left <= 1 or not self.counts(attempt_no):
            return
        number, amount = f"portal-{len(self.refunds)}", self.people.choice((left // 2, 1))
        reference = ChannelOrder(attempt_no, "", sum(order.taken), "CNY", self.clock())
        asked = RefundRequest(number, reference, amount, "", "", self.clock())
        self.refunds[number] = RefundOrder(asked, _S.SUCCEEDED, by_portal=True, must_notify=True)
        self._give(order, number, amount)
        self.note(f"a person gives {amount} of {attempt_no} back in the portal")
        for _ in range(self.people.choice((1, 1, 3))):
            delay = self.people.uniform(0.05, 3)
            self._notify(number, About.REFUND, self.refund_answer(number), delay, sent_before=0)
        if self.people.random() < self.weather.returned:
            self.loop.call_later(self.people.uniform(1, 60), self._return, self.refunds[number], order)

    def query_refund(self, number: str) -> ChannelAnswer:
        return self.refund_answer(number)

    def refund_answer(self, number: str) -> ChannelAnswer:
        """What the channel says of a refund now."""
        known = self.refunds.get(number)
        if known is None:
            return ChannelAnswer(_S.NOT_FOUND, channel_code="REFUND_NOT_EXIST")
        amount_minor, order = known.refund.amount_minor, self.orders[known.refund.order.attempt_no]
        returned = None
        if order.sums is not None and self.states_parts and known.state is _S.SUCCEEDED:
            returned = ReturnedSums(amount_minor, *order.parts[number])
        return ChannelAnswer(known.state, amount_minor, "CNY", retryable=known.retryable, returned=returned)

    # Disputes

    def _dispute(self, order: Order) -> None:
        """A payer disputes a payment that counts: the channel takes the money first, or only asks."""
        number, settled = order.request.attempt_no, order.settled_minor
        if not self.counts(number) or not settled:
            return
        taken = self.court.choice((settled, settled, self.court.randrange(1, settled + 1), 0))
        opened = DisputeReport(
            f"dispute-{len(self.disputes)}-{number}",
            DisputeState.NEEDS_RESPONSE,
            amount_minor=taken or settled,
            currency="CNY",
            order_no=number,
            taken_minor=taken,
            fee_minor=self.court.choice((0, 0, 150)),
            opened_at=self.clock(),
            changed_at=self.clock(),
        )
        self.disputes[opened.dispute_no] = Disputed([opened])
        self._state_dispute(opened)

    def _state_dispute(self, report: DisputeReport) -> None:
        """State a dispute as it is now, and go on with it a little later."""
        self.note(f"channel states that {report.dispute_no} is {report.state}, {report.taken_minor} taken")
        for _ in range(self.court.choice((1, 1, 2))):
            self.loop.call_later(self.court.uniform(0.05, 20), self._send_dispute, report, 0)
        following = {
            DisputeState.NEEDS_RESPONSE: (DisputeState.UNDER_REVIEW, DisputeState.WON, DisputeState.LOST),
            DisputeState.UNDER_REVIEW: (DisputeState.WON, DisputeState.LOST, DisputeState.ACCEPTED),
        }.get(report.state)
        if following is not None:
            state = self.court.choice(following)
            self.loop.call_later(self.court.uniform(1, 60), self._change_dispute, report.dispute_no, state)

    def _change_dispute(self, dispute_no: str, state: DisputeState) -> None:
        disputed = self.disputes[dispute_no]
        won = {"taken_minor": 0, "fee_minor": self.court.choice((0, disputed.last.fee_minor))}
        changed = won if state is DisputeState.WON else {}
        disputed.statements.append(replace(disputed.last, state=state, changed_at=self.clock(), **changed))
        self._state_dispute(disputed.last)

    def _send_dispute(self, report: DisputeReport, sent_before: int) -> None:
        """Send one statement until it is taken, however many others have been made since."""
        self._messages += 1
        message = {"number": report.dispute_no, "statement": self.disputes[report.dispute_no].statements.index(report)}

        def done(accepted: bool) -> None:
            if not accepted:
                delay = min(3600.0, self.court.uniform(1, 15) * 4 ** min(sent_before, 5))
                self.loop.call_later(delay, self._send_dispute, report, sent_before + 1)

        if self.chance(self.weather.lost):
            self.note(f"channel notification {report.dispute_no} lost")
            done(False)
        else:
            self.note(f"channel notification {report.dispute_no} {report.state}")
            self.deliver({"x-key": str(self._messages)}, json.dumps(message).encode(), done)

    # Notifications

    def _announce(self, order: Order) -> None:
        copies = 1 + self.rng.randrange(3) if self.chance(self.weather.repeated) else 1
        if order.must_notify or not self.chance(self.weather.silent):
            for _ in range(copies):
                delay = self.rng.uniform(0.05, 3)
                self._notify(order.request.attempt_no, About.PAYMENT, self.order_answer(order), delay, sent_before=0)

    def _notify(self, number: str, about: About, answer: ChannelAnswer, delay: float, *, sent_before: int) -> None:
        self.loop.call_later(delay, self._send, number, about, answer, sent_before)

    def _send(self, number: str, about: About, answer: ChannelAnswer, sent_before: int) -> None:
        self._messages += 1
        message = {
            "number": number, "about": about, "state": answer.state, "amount": answer.amount_minor,
            "currency": answer.currency, "retryable": answer.retryable,
            "sums": answer.sums and asdict(answer.sums), "returned": answer.returned and asdict(answer.returned),
        }  # fmt: skip
        order, refund = self.orders.get(number), self.refunds.get(number)
        message["order_no"] = refund.refund.order.attempt_no if refund is not None and refund.by_portal else None

        def done(accepted: bool) -> None:
            true = order is not None and [answer.amount_minor] == order.taken
            true_refund = refund is not None and refund.must_notify and answer.state is refund.state
            if not accepted and (sent_before < 3 or (true and order.must_notify) or true_refund):
                delay = min(3600.0, self.rng.uniform(1, 15) * 4 ** min(sent_before, 5))
                self._notify(number, about, answer, delay, sent_before=sent_before + 1)

        if self.chance(self.weather.lost):
            self.note(f"channel notification {number} lost")
            done(False)
        else:
            self.note(f"channel notification {number} {answer.state.value}")
            self.deliver({"x-key": str(self._messages)}, json.dumps(message).encode(), done)

    # The truth

    def is_open(self, number: str) -> bool:
        """Whether money could still move by this order as if nothing were wrong."""
        order = self.orders.get(number)
        return order is not None and order.state in (_S.PENDING, _S.AUTHORIZED)

    def took(self) -> dict[str, list[int]]:
        """What was taken by each order, as often as it was, for orders where it was."""
        return {number: order.taken for number, order in self.orders.items() if order.taken}

    def gave(self) -> dict[str, int]:
        """What is back of orders, by the refund's number."""
        return {
            number: known.refund.amount_minor for number, known in self.refunds.items() if known.state is _S.SUCCEEDED
        }

    def gave_parts(self, number: str) -> tuple[int, int]:
        """What the payer got of a refund that has succeeded, and what it took back from the settlement."""
        return self.orders[self.refunds[number].refund.order.attempt_no].parts[number]


class ModelledChannel(Channel):
    """The adapter that a process of ours holds."""

    acceptance = HttpAnswer(204)
    refusal = HttpAnswer(401)

    def __init__(self, world: ChannelWorld) -> None:
        self.world = world
        self.capabilities = Capabilities(
            channel="modelled",
            methods={
                "qr": PaymentMethod(ActionKind.QR_CODE, closes_unopened=False),
                "qr_other": PaymentMethod(ActionKind.QR_CODE),
                "card": PaymentMethod(ActionKind.QR_CODE, manual_capture=True),
                "card_other": PaymentMethod(ActionKind.QR_CODE, manual_capture=True),
            },
            currencies=frozenset({"CNY"}),
            amount_minor_min=1,
            amount_minor_max=1_000_000,
            expiry_min=timedelta(minutes=1),
            expiry_max=timedelta(hours=2),
            resubmits=world.resubmits,
            refund=RefundRule(timedelta(days=90), count_max=4),
            same_day_void=world.voids,
            partial_capture=True,
            authorization_kept=timedelta(seconds=world.authorization_kept_s),
        )

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        return await self.world.call("pay", request.attempt_no, lambda: self.world.pay(request))

    async def query(self, order: ChannelOrder, *, now: datetime) -> ChannelAnswer:
        return await self.world.call("query", order.attempt_no, lambda: self.world.query(order.attempt_no))

    async def close(self, order: ChannelOrder, *, now: datetime) -> ChannelAnswer:
        number = order.attempt_no
        return await self.world.call("close", number, lambda: self.world.close(number, order.close_requested_at))

    async def capture(self, order: ChannelOrder, amount_minor: int, *, now: datetime) -> ChannelAnswer:
        number, at = order.attempt_no, order.capture_requested_at
        return await self.world.call("capture", number, lambda: self.world.capture(number, amount_minor, at))

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        return await self.world.call("refund", refund.refund_no, lambda: self.world.refund(refund))

    async def void(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        return await self.world.call("void", refund.refund_no, lambda: self.world.refund(refund))

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        number = refund.refund_no
        return await self.world.call("query_refund", number, lambda: self.world.query_refund(number))

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        if "x-key" not in headers:
            raise NotificationRefused("not proven")
        result = json.loads(body)
        if "statement" in result:
            report = self.world.disputes[result["number"]].statements[result["statement"]]
            key = headers["x-key"].encode()
            return Notification(
                report.dispute_no, ChannelAnswer(_S.UNKNOWN), About.DISPUTE, replay_key=key, dispute=report
            )
        sums, returned = result["sums"], result["returned"]
        answer = ChannelAnswer(
            ChannelState(result["state"]),
            result["amount"],
            result["currency"],
            retryable=result["retryable"],
            sums=sums
            and Sums.read(sums["ordered_minor"], sums["paid_minor"], sums["settled_minor"], sums["discounts"]),
            returned=returned and ReturnedSums(**returned),
        )
        key = headers["x-key"]
        about, order_no = About(result["about"]), result["order_no"]
        return Notification(result["number"], answer, about, replay_key=key.encode(), order_no=order_no)


@dataclass(frozen=True)
class ModelledAccounts:
    """The one channel account of a simulation."""

    account_id: UUID
    channel: ModelledChannel

    async def get(self, account_id: UUID) -> ModelledChannel:
        if account_id != self.account_id:
            raise NotFound("no channel account has this id")
        return self.channel

    def text(self, channel: str, code: str) -> None:
        """Return no text for payers: this channel's codes have none."""

    def unreadable(self, *, sandbox: bool) -> list[str]:
        return []

    async def offers(self, *, ahead: bool = False) -> list[Offer]:
        return [Offer(self.account_id, self.channel.capabilities, sandbox=False)]


def _settle(answer: asyncio.Future[ChannelAnswer], result: ChannelAnswer) -> None:
    if not answer.done():
        answer.set_result(result)
