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

ASKING_CODE, POOR_CODE = "0000", "0002"
"""The ends of payment codes: whose payer is asked for their password, and whose payer has too little money."""
CODE = "06"
"""The `txnSubType` of a payment by a code that the payer shows."""
APP_CHANNEL = "08"
"""The `channelType` of an order for a payer's application."""


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
                code_url=_code(fields),
                expires_at=read_time(fields["payTimeout"]) if "payTimeout" in fields else None,
                method=fields["txnSubType"],
                capture=fields["txnType"] != "02",
            )
            self._store.place(order)
        elif order is None or order.content != content or order.state is not OrderState.OPEN:
            raise UnionPayRefusal("12", "重复交易")
        answer = response("00")
        if fields["txnSubType"] == "07":
            answer["qrCode"] = order.code_url
        if fields["txnSubType"] == "01" and fields["channelType"] == APP_CHANNEL:
            answer["tn"] = order.code_url
        return answer

    def reverse(self, fields: Fields) -> Fields:
        """End a payment by a payer's code: an unpaid one is closed, the money of a paid one goes back."""
        order = self._store.orders.get(fields["orderId"])
        if order is None or order.method != CODE or order.content["txnTime"] != fields["txnTime"]:
            raise UnionPayRefusal("34", "查无此交易[2600000]")
        if order.state is OrderState.PAID:
            order.captured_minor, order.paid_at = 0, None
        if order.state is not OrderState.CLOSED:
            self._store.change(order, OrderState.CLOSED, "reversed")
        return response("00")

    def code(self, order: SandboxOrder) -> str:
        """Return the response code of an order's current state."""
        if order.state is OrderState.OPEN:
            return "05" if self._store.payable(order) else "69"
        if order.method == CODE and order.state is OrderState.CLOSED:
            return "60"
        # An authorization has succeeded, whatever becomes of the money.
        return "64" if order.state is OrderState.DECLINED else "00"

    def document(self, order: SandboxOrder, amount_delta_minor: int = 0) -> Fields:
        """Return the fields of an order in an answer to a query, or in a notification."""
        taken = order.capture and order.captured_minor > 0
        document = transaction_fields(order.content) | {
            "merId": MER_ID,
            "orderId": order.order_no,
            "queryId": order.channel_order_no,
            "txnAmt": str((order.payer_minor if taken else order.amount_minor) + amount_delta_minor),
            "currencyCode": "156",
            "accNo": "622848*********0010",
        }
        if taken:
            document |= settlement(order.settled_minor + amount_delta_minor)
        if order.coupons:
            parts = [coupon.amount_minor for coupon in order.coupons]
            document |= discounts(order, parts, order.captured_minor + amount_delta_minor)
        at = order.data.get("authorized_at") or order.paid_at or order.changed_at
        return document | traces(at, order.channel_order_no, order.content)


def _code(fields: Fields) -> str:
    """Return what the payer's wallet takes: the number that UnionPay's SDK is started with, or the text of a code."""
    if fields["channelType"] == APP_CHANNEL and fields["txnSubType"] == "01":
        return f"{secrets.randbelow(10**21):021d}"
    return f"https://qr.95516.com/00010000/{secrets.randbits(124):038d}"
