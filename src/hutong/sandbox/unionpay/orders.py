"""Orders at the UnionPay simulator: placed, queried, and shown in notifications."""

from __future__ import annotations

import secrets

from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.store import Store
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
from hutong.sandbox.unionpay.validation import UnionPayRefusal, read_time


class UnionPayOrders:
    """The orders of the merchant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def place(self, fields: Fields) -> Fields:
        """Place an order; a repetition with the same content gets the same answer."""
        content = {name: value for name, value in fields.items() if name not in ("signature", "certId")}
        order = self._store.orders.get(fields["orderId"])
        if order is None and fields["orderId"] not in self._store.refunds:
            order = SandboxOrder(
                order_no=fields["orderId"],
                channel_order_no=new_query_id(self._store),
                amount_minor=int(fields["txnAmt"]),
                currency="CNY",
                description=fields.get("orderDesc", ""),
                notify_url=fields["backUrl"],
                content=content,
                code_url=f"https://qr.95516.com/00010000/{secrets.randbits(124):038d}",
                expires_at=read_time(fields["payTimeout"]) if "payTimeout" in fields else None,
                method=fields["txnSubType"],
            )
            self._store.place(order)
        elif order is None or order.content != content or order.state is not OrderState.OPEN:
            raise UnionPayRefusal("12", "重复交易")
        answer = response("00")
        if fields["txnSubType"] == "07":
            answer["qrCode"] = order.code_url
        return answer

    def code(self, order: SandboxOrder) -> str:
        """Return the response code of an order's current state."""
        if order.state is OrderState.OPEN:
            return "05" if self._store.payable(order) else "69"
        return "00" if order.state is OrderState.PAID else "64"

    def document(self, order: SandboxOrder, amount_delta_minor: int = 0) -> Fields:
        """Return the fields of an order in an answer to a query, or in a notification."""
        document = transaction_fields(order.content) | {
            "merId": MER_ID,
            "orderId": order.order_no,
            "queryId": order.channel_order_no,
            "txnAmt": str((order.payer_minor if order.captured_minor else order.amount_minor) + amount_delta_minor),
            "currencyCode": "156",
            "accNo": "622848*********0010",
        }
        if order.captured_minor:
            document |= settlement(order.settled_minor + amount_delta_minor)
        if order.coupons:
            parts = [coupon.amount_minor for coupon in order.coupons]
            document |= discounts(order, parts, order.captured_minor + amount_delta_minor)
        return document | traces(order.paid_at or order.changed_at, order.channel_order_no)
