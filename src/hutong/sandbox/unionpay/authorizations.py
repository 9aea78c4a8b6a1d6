"""Completions and releases of reserved money at the UnionPay simulator: transactions with numbers of their own.

Source:
    UnionPay's own samples, see `hutong.channels.unionpay.authorizations`. Assumed and not documented: both are
    processed at once, and one that is refused leaves no transaction to query.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.unionpay.bill import settle_date
from hutong.sandbox.unionpay.fields import (
    Fields,
    new_query_id,
    response,
    settlement,
    traces,
    transaction_fields,
)
from hutong.sandbox.unionpay.keys import MER_ID
from hutong.sandbox.unionpay.validation import UnionPayRefusal

_KEPT = timedelta(days=30)
_PERCENT_MAX = 115


@dataclass(slots=True)
class FollowUp:
    """A completion or a release of an order that reserved money; the other attributes are those of `SandboxOrder`."""

    number: str
    query_id: str
    order: SandboxOrder
    amount_minor: int
    content: Fields
    notify_url: str
    at: datetime
    notified: int = 0
    accepted: bool = False


class UnionPayAuthorizationSimulator:
    """The completions and releases of the merchant.

    Args:
        notify: Notifies the platform of one that has succeeded.
    """

    def __init__(self, store: Store, notify: Callable[[FollowUp], None]) -> None:
        self._store = store
        self._notify = notify
        self._follow_ups: dict[str, FollowUp] = {}

    def find(self, number: str, txn_time: str) -> FollowUp | None:
        """Return a completion or a release by its number and its time."""
        follow_up = self._follow_ups.get(number)
        return follow_up if follow_up is not None and follow_up.content["txnTime"] == txn_time else None

    def complete(self, fields: Fields) -> Fields:
        """Take reserved money, once, up to 115 percent of it and within 30 days; the rest is released."""
        order, authorized_at = self._reserved(fields)
        amount_minor = int(fields["txnAmt"])
        if amount_minor * 100 > order.amount_minor * _PERCENT_MAX:
            raise UnionPayRefusal("36", "与原交易信息不符[2012000]")
        if self._store.clock.now() > authorized_at + _KEPT:
            raise UnionPayRefusal("35", "原交易不存在或状态不正确[2011000]")
        self._store.capture(order, amount_minor)
        follow_up = self._add(fields, order)
        order.data["completion"] = follow_up
        return self._accepted(follow_up)

    def release(self, fields: Fields) -> Fields:
        """Release all of the reserved money, on the clearing day of the authorization."""
        order, authorized_at = self._reserved(fields)
        whole = int(fields["txnAmt"]) == order.amount_minor
        if not whole or settle_date(authorized_at) != settle_date(self._store.clock.now()):
            raise UnionPayRefusal("36", "与原交易信息不符[2012000]")
        self._store.change(order, OrderState.CLOSED, "released")
        return self._accepted(self._add(fields, order))

    def _reserved(self, fields: Fields) -> tuple[SandboxOrder, datetime]:
        number = fields["orderId"]
        if number in self._follow_ups or number in self._store.orders or number in self._store.refunds:
            raise UnionPayRefusal("12", "重复交易")
        order = next((o for o in self._store.orders.values() if o.channel_order_no == fields["origQryId"]), None)
        if order is None or order.state is not OrderState.AUTHORIZED:
            raise UnionPayRefusal("35", "原交易不存在或状态不正确[2011000]")
        authorized_at: datetime = order.data["authorized_at"]
        return order, authorized_at

    def _add(self, fields: Fields, order: SandboxOrder) -> FollowUp:
        follow_up = FollowUp(
            fields["orderId"],
            new_query_id(self._store, len(self._follow_ups)),
            order,
            int(fields["txnAmt"]),
            fields,
            fields["backUrl"],
            self._store.clock.now(),
        )
        self._follow_ups[follow_up.number] = follow_up
        return follow_up

    def _accepted(self, follow_up: FollowUp) -> Fields:
        self._notify(follow_up)
        return response("00") | {"queryId": follow_up.query_id, "origQryId": follow_up.order.channel_order_no}

    def document(self, follow_up: FollowUp, amount_delta_minor: int = 0) -> Fields:
        """Return the fields of a completion or a release in an answer to a query, or in a notification."""
        amount_minor = follow_up.amount_minor + amount_delta_minor
        document = transaction_fields(follow_up.content) | {
            "merId": MER_ID,
            "orderId": follow_up.number,
            "queryId": follow_up.query_id,
            "origQryId": follow_up.order.channel_order_no,
            "txnAmt": str(amount_minor),
            "currencyCode": "156",
        }
        if follow_up.order.data.get("completion") is follow_up:
            document |= settlement(amount_minor)
        return document | traces(follow_up.at, follow_up.query_id, follow_up.content)
