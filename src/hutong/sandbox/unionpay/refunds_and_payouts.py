"""Refunds and voids at the UnionPay simulator; UnionPay's online gateway makes no payouts."""

from __future__ import annotations

from datetime import timedelta

from hutong.clock import BEIJING
from hutong.sandbox.records import OrderState, OutgoingState, SandboxOrder, SandboxRefund
from hutong.sandbox.store import Store
from hutong.sandbox.unionpay.bill import settle_date, taken_no
from hutong.sandbox.unionpay.fields import (
    Fields,
    discounts,
    new_query_id,
    response,
    settlement,
    traces,
    transaction_fields,
)
from hutong.sandbox.unionpay.keys import MER_ID
from hutong.sandbox.unionpay.validation import UnionPayRefusal

_REFUND_DAYS = {"000000": 30}
_REFUND_DAYS_DEFAULT = 330
_CODES = {OutgoingState.PENDING: "05", OutgoingState.SUCCEEDED: "00", OutgoingState.FAILED: "60"}


class UnionPayRefundSimulator:
    """The refunds and voids of the merchant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def refund(self, fields: Fields) -> Fields:
        """Accept a refund, or a void on the order's own clearing day."""
        number, amount_minor = fields["orderId"], int(fields["txnAmt"])
        content = {name: value for name, value in fields.items() if name not in ("signature", "certId")}
        if number in self._store.refunds or number in self._store.orders:
            raise UnionPayRefusal("12", "重复交易")
        order = next((o for o in self._store.orders.values() if taken_no(o) == fields["origQryId"]), None)
        voids_other = order is not None and fields["txnType"] == ("33" if order.capture else "31")
        if order is None or voids_other or order.state is not OrderState.PAID or order.paid_at is None:
            raise UnionPayRefusal("35", "原交易不存在或状态不正确[2011000]")
        now, left = self._store.clock.now(), self._store.refundable_minor(order)
        if fields["txnType"] in ("31", "33") and (
            amount_minor != order.captured_minor
            or left != amount_minor
            or settle_date(order.paid_at) != settle_date(now)
        ):
            raise UnionPayRefusal("36", "与原交易信息不符[2012000]")
        if amount_minor > left:
            raise UnionPayRefusal("36", "与原交易信息不符，退货金额超限[2012001]")
        if now > order.paid_at + timedelta(days=_REFUND_DAYS.get(order.content["bizType"], _REFUND_DAYS_DEFAULT)):
            raise UnionPayRefusal("35", "原交易不存在或状态不正确[4040007]")
        refund = SandboxRefund(
            refund_no=number,
            channel_refund_no=new_query_id(self._store),
            order=order,
            amount_minor=amount_minor,
            currency="CNY",
            notify_url=fields["backUrl"],
            content=content,
            created_at=now,
        )
        self._store.start_refund(refund)
        return response("00") | {"queryId": refund.channel_refund_no, "origQryId": fields["origQryId"]}

    def portal_refund(self, order: SandboxOrder, amount_minor: int) -> SandboxRefund:
        """Make a refund as the merchant's portal does: under a number of its own."""
        now, query_id = self._store.clock.now(), new_query_id(self._store)
        content = {name: order.content[name] for name in ("bizType", "accessType")}
        return SandboxRefund(
            refund_no=f"P{query_id}",
            channel_refund_no=query_id,
            order=order,
            amount_minor=amount_minor,
            currency="CNY",
            notify_url=order.notify_url,
            content=content
            | {"txnType": "04", "txnSubType": "00", "txnTime": f"{now.astimezone(BEIJING):%Y%m%d%H%M%S}"},
            created_at=now,
        )

    def code(self, refund: SandboxRefund) -> str:
        """Return the response code of a refund's current state."""
        return _CODES[refund.state]

    def document(self, refund: SandboxRefund, amount_delta_minor: int = 0) -> Fields:
        """Return the fields of a refund in an answer to a query, or in a notification."""
        document = (
            transaction_fields(refund.content)
            | {
                "merId": MER_ID,
                "orderId": refund.refund_no,
                "queryId": refund.channel_refund_no,
                "origQryId": taken_no(refund.order),
                "txnAmt": str(refund.payer_minor + amount_delta_minor),
                "currencyCode": "156",
            }
            | settlement(refund.settled_minor + amount_delta_minor)
        )
        if refund.returned:
            document |= discounts(refund.order, refund.returned, refund.amount_minor + amount_delta_minor)
        return document | traces(refund.changed_at or refund.created_at, refund.channel_refund_no, refund.content)
