"""Orders at the Alipay simulator: placed, opened, queried and closed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from hutong.clock import BEIJING
from hutong.money import fee_minor, to_major
from hutong.sandbox.alipay.bill import PAYMENT, REFUND
from hutong.sandbox.alipay.keys import BUYER_ID, SELLER_ID
from hutong.sandbox.alipay.validation import AlipayRefusal, expiry, yuan
from hutong.sandbox.bill import Entry, payment_entry, refund_entry
from hutong.sandbox.records import OrderState, OutgoingState, SandboxOrder
from hutong.sandbox.simulator import Simulator
from hutong.sandbox.store import Store

JSAPI = "alipay.trade.create"
PAGES = frozenset({"alipay.trade.page.pay", "alipay.trade.wap.pay", "alipay.trade.app.pay"})
"""The methods that the payer's browser or application sends."""

_FEE_PPM = 6_000
_ON_REQUEST = frozenset({"fund_bill_list", "mdiscount_amount"})
"""What a query tells if it is asked for it."""
_COUPONS = {
    ("channel", True): "COUPON",
    ("platform", True): "DISCOUNT",
    ("merchant", True): "MCOUPON",
    ("merchant", False): "MDISCOUNT",
}
"""Alipay's names of coupons, by who bears them and whether they are settled."""
_AUTH_CODES = {
    "1": ("ACQ.BUYER_BALANCE_NOT_ENOUGH", "买家余额不足"),
    "2": ("ACQ.PAYMENT_AUTH_CODE_INVALID", "支付失败，获取顾客账户信息失败"),
    "3": ("ACQ.PAYMENT_REQUEST_HAS_RISK", "支付有风险"),
}
"""Refusals of payment codes by their last digit; a code that ends in 9 asks the payer to confirm."""

AnswerNode = Callable[[str], dict[str, Any]]
"""The node of an answer, made once the kind of the call's fault is known."""


class AlipayOrders:
    """The orders of the merchant."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._store = simulator.store

    def precreate(self, content: dict[str, Any], parameters: dict[str, str]) -> AnswerNode:
        order = self._place(content, parameters, "alipay.trade.precreate")
        return _ok(out_trade_no=order.order_no, qr_code=order.code_url)

    def create(self, content: dict[str, Any], parameters: dict[str, str]) -> AnswerNode:
        """Create the trade for a mini program; unlike a code's it exists at once, for this payer alone."""
        buyer = content.get("buyer_id") or content["buyer_open_id"]
        if buyer == SELLER_ID:
            raise AlipayRefusal("40004", "ACQ.BUYER_SELLER_EQUAL", "买卖家不能相同")
        known = self._store.orders.get(str(content.get("out_trade_no")))
        if known is not None and known.data.get("buyer", buyer) != buyer:
            raise AlipayRefusal("40004", "ACQ.TRADE_BUYER_NOT_MATCH", "交易买家不匹配")
        order = self._place(content, parameters, JSAPI)
        order.data["buyer"] = buyer
        self._simulator.opened(order)
        return _ok(out_trade_no=order.order_no, trade_no=order.channel_order_no)

    def charge(self, content: dict[str, Any], parameters: dict[str, str]) -> AnswerNode:
        auth_code = content["auth_code"]
        if auth_code[-1] in _AUTH_CODES and content.get("out_trade_no") not in self._store.orders:
            raise AlipayRefusal("40004", *_AUTH_CODES[auth_code[-1]])
        order = self._place(content, parameters, "alipay.trade.pay")
        self._simulator.opened(order)
        asks_payer = auth_code[-1] == "9" and order.state is OrderState.OPEN
        if not asks_payer:
            self._simulator.pay(order, self._store.faults.notify)
        node = self._trade(order) | {"gmt_payment": beijing(order.paid_at)} if order.paid_at else self._trade(order)
        node.pop("trade_status")
        if asks_payer:
            node |= {"code": "10003", "msg": "order success pay inprocess"}
        return lambda _kind: node

    def open_page(self, content: dict[str, Any], parameters: dict[str, str]) -> SandboxOrder:
        """Place the order that the payer's browser or application brings; it exists from then on."""
        order = self._place(content, parameters, parameters["method"])
        order.data |= {"return_url": parameters.get("return_url"), "quit_url": content.get("quit_url")}
        self._simulator.opened(order)
        return order

    def query(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        asked, node = content.get("query_options", []), self._trade(self.find(content))
        node = {name: value for name, value in node.items() if name not in _ON_REQUEST or name in asked}
        return lambda _kind: node

    def close(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        order = self.find(content)
        if order.state is not OrderState.OPEN:
            raise AlipayRefusal("40004", "ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
        self._store.change(order, OrderState.CLOSED, "closed")
        return _ok(out_trade_no=order.order_no, trade_no=order.channel_order_no)

    def find(self, content: dict[str, Any]) -> SandboxOrder:
        """Return the order of a request. An order whose code nobody has scanned does not exist yet."""
        by_channel_no = (o for o in self._store.orders.values() if o.channel_order_no == content.get("trade_no"))
        order = self._store.orders.get(str(content.get("out_trade_no"))) or next(by_channel_no, None)
        if order is None or not order.data["opened"]:
            raise AlipayRefusal("40004", "ACQ.TRADE_NOT_EXIST", "交易不存在")
        self._expire(order)
        return order

    def entries(self, day: date) -> list[Entry]:
        """Return the payments and refunds of a day in Beijing."""

        def on(at: datetime | None) -> bool:
            return at is not None and at.astimezone(BEIJING).date() == day

        rows = [
            payment_entry(
                order,
                fee_minor=fee_minor(order.settled_minor, _FEE_PPM),
                state=PAYMENT,
                data={"created_at": order.data["created_at"]},
            )
            for order in self._store.orders.values()
            if on(order.paid_at)
        ]
        rows += [
            refund_entry(
                refund,
                channel_no=refund.order.channel_order_no,  # an order and its refunds have one number
                fee_minor=-fee_minor(refund.settled_minor, _FEE_PPM),  # returned with the refund
                state=REFUND,
                data={"created_at": refund.order.data["created_at"]},
            )
            for refund in self._store.refunds.values()
            if refund.state is OutgoingState.SUCCEEDED and on(refund.changed_at)
        ]
        return sorted(rows, key=lambda row: row.at)

    def _place(self, content: dict[str, Any], parameters: dict[str, str], method: str) -> SandboxOrder:
        amount_minor, expires_at = yuan(content["total_amount"]), expiry(content)
        order = self._store.orders.get(content["out_trade_no"])
        if order is None:
            now = self._store.clock.now()
            if expires_at is not None and expires_at <= now:
                raise AlipayRefusal("40004", "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR", "当前时间已超过允许支付的时间")
            order = SandboxOrder(
                order_no=content["out_trade_no"],
                channel_order_no=self._store.new_channel_no(now.astimezone(BEIJING).strftime("%Y")),
                amount_minor=amount_minor,
                currency="CNY",
                description=content["subject"],
                notify_url=parameters.get("notify_url", ""),
                content={name: value for name, value in content.items() if not name.startswith("_")},
                code_url=f"https://qr.alipay.com/{secrets.token_hex(9)}",
                expires_at=expires_at,
                method=method,
                data={"opened": False, "created_at": now, "certified": "app_cert_sn" in parameters}
                | {"app_id": parameters["app_id"]},
            )
            self._store.place(order)
            return order
        self._expire(order)
        if order.state is OrderState.PAID:
            closed = trade_status(self._store, order) == "TRADE_CLOSED"
            raise _HAS_CLOSED if closed else AlipayRefusal("40004", "ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
        if order.state is OrderState.CLOSED:
            raise _HAS_CLOSED
        same = (order.amount_minor, order.description) == (amount_minor, content["subject"])
        if not same or order.method != method:
            raise AlipayRefusal("40004", "ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
        return order

    def _expire(self, order: SandboxOrder) -> None:
        """Close an expired order, without a notification, as Alipay does."""
        if order.state is OrderState.OPEN and not self._store.payable(order):
            self._store.change(order, OrderState.CLOSED, "closed")

    def _trade(self, order: SandboxOrder) -> dict[str, Any]:
        amount = to_major(order.captured_minor or order.amount_minor, order.currency)
        # Of what a page or an application has brought, a query states no sums but the total.
        stated = order.paid_at is not None and order.method not in PAGES
        parts = (order.settled_minor, order.payer_minor) if stated else (0, 0)
        received, paid = (to_major(part, order.currency) for part in parts)
        node: dict[str, Any] = {
            "code": "10000",
            "msg": "Success",
            "out_trade_no": order.order_no,
            "trade_no": order.channel_order_no,
            "trade_status": trade_status(self._store, order),
            "total_amount": amount,
            "buyer_logon_id": "159****5620",
            "buyer_user_id": order.data.get("buyer", BUYER_ID),
            "point_amount": "0.00",
            "receipt_amount": received,
            "buyer_pay_amount": paid,
            "invoice_amount": paid,
        }
        if order.paid_at is not None:
            node |= {
                "send_pay_date": beijing(order.paid_at),
                "fund_bill_list": [{"amount": part, "fund_channel": name} for name, part in fund_bills(order)],
                "mdiscount_amount": to_major(order.borne_minor, order.currency),
            }
        return node


def fund_bills(order: SandboxOrder) -> list[tuple[str, str]]:
    """Return the means by which an order was paid: the payer's money, and the coupons."""
    parts = [("ALIPAYACCOUNT", order.payer_minor)] if order.payer_minor else []
    parts += [(_COUPONS[coupon.funder, coupon.settles], coupon.amount_minor) for coupon in order.coupons]
    return [(name, to_major(part, order.currency)) for name, part in parts]


_HAS_CLOSED = AlipayRefusal("40004", "ACQ.TRADE_HAS_CLOSE", "交易已经关闭")


def trade_status(store: Store, order: SandboxOrder) -> str:
    """Return Alipay's status of an order; one that is refunded in full is closed."""
    if order.state is OrderState.PAID:
        refunds = [r for r in store.refunds.values() if r.order is order and r.state is OutgoingState.SUCCEEDED]
        refunded_in_full = sum(refund.amount_minor for refund in refunds) == order.captured_minor
        return "TRADE_CLOSED" if refunded_in_full else "TRADE_SUCCESS"
    return "TRADE_CLOSED" if order.state is OrderState.CLOSED else "WAIT_BUYER_PAY"


def beijing(at: datetime) -> str:
    """Write an instant in Alipay's format, as Beijing time."""
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def _ok(**fields: Any) -> AnswerNode:
    node = {"code": "10000", "msg": "Success", **fields}
    return lambda _kind: node
