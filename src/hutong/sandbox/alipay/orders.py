"""What the simulated Alipay does with orders."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from hutong.money import fee_minor, from_major, to_major
from hutong.sandbox.alipay.bill import PAYMENT, REFUND
from hutong.sandbox.alipay.keys import BUYER_ID
from hutong.sandbox.bill import Entry
from hutong.sandbox.simulator import Simulator
from hutong.sandbox.store import Book, MoneyOut, Order, OrderState

BEIJING = timezone(timedelta(hours=8))
PAGES = frozenset({"alipay.trade.page.pay", "alipay.trade.wap.pay", "alipay.trade.app.pay"})
"""What the payer's browser or application sends."""

_PRODUCTS = {
    "alipay.trade.page.pay": ("FAST_INSTANT_TRADE_PAY",),
    "alipay.trade.wap.pay": ("QUICK_WAP_WAY", "QUICK_WAP_PAY"),
    "alipay.trade.app.pay": ("QUICK_MSECURITY_PAY",),
}
_FEE_PPM = 6_000
_NUMBER = re.compile(r"[0-9A-Za-z_]{1,64}")
_YUAN = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,2})?")
_AMOUNT_MINOR_MAX = 10_000_000_000
_AUTH_CODES = {
    "1": ("ACQ.BUYER_BALANCE_NOT_ENOUGH", "买家余额不足"),
    "2": ("ACQ.PAYMENT_AUTH_CODE_INVALID", "支付失败，获取顾客账户信息失败"),
    "3": ("ACQ.PAYMENT_REQUEST_HAS_RISK", "支付有风险"),
}
"""Payment codes that end like this are refused; one that ends in 9 asks the payer to confirm."""

Lazy = Callable[[str], dict[str, Any]]
"""An answer's node, made once the kind of fault is known that it meets."""


class Refusal(Exception):
    """What Alipay answers in place of doing what was asked."""

    def __init__(self, code: str, sub_code: str, sub_msg: str, *, msg: str | None = None) -> None:
        super().__init__(sub_code)
        said = msg or {"40004": "Business Failed", "40001": "Missing Required Arguments"}.get(code, "Invalid Arguments")
        self.node: dict[str, Any] = {"code": code, "msg": said, "sub_code": sub_code, "sub_msg": sub_msg}


class AlipayTrades:
    """Orders: placed, opened, asked for, closed."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._book = simulator.book

    def precreate(self, content: dict[str, Any], said: dict[str, str]) -> Lazy:
        order = self._place(content, said, "alipay.trade.precreate")
        return _ok(out_trade_no=order.order_no, qr_code=order.code_url)

    def charge(self, content: dict[str, Any], said: dict[str, str]) -> Lazy:
        auth_code = content.get("auth_code")
        if content.get("scene", "bar_code") != "bar_code" or not isinstance(auth_code, str):
            raise invalid("auth_code")
        if not re.fullmatch(r"(?:2[5-9]|30)[0-9]{14,22}", auth_code):
            raise Refusal("40004", *_AUTH_CODES["2"])
        if auth_code[-1] in _AUTH_CODES and content.get("out_trade_no") not in self._book.orders:
            raise Refusal("40004", *_AUTH_CODES[auth_code[-1]])
        order = self._place(content, said, "alipay.trade.pay")
        self._simulator.opened(order)
        waits = auth_code[-1] == "9" and order.state is OrderState.OPEN
        if not waits:
            self._simulator.pay(order, self._book.faults.notify)
        node = self._trade(order) | {"gmt_payment": beijing(order.paid_at)} if order.paid_at else self._trade(order)
        node.pop("trade_status")
        if waits:
            node |= {"code": "10003", "msg": "order success pay inprocess"}
        return lambda _kind: node

    def open_page(self, content: dict[str, Any], said: dict[str, str]) -> Order:
        """What the payer's browser or application brings; the order exists from then on."""
        if content.get("product_code", _PRODUCTS[said["method"]][0]) not in _PRODUCTS[said["method"]]:
            raise invalid("product_code")
        order = self._place(content, said, said["method"])
        self._simulator.opened(order)
        return order

    def query(self, content: dict[str, Any], _said: dict[str, str]) -> Lazy:
        node = self._trade(self.find(content))
        return lambda _kind: node

    def close(self, content: dict[str, Any], _said: dict[str, str]) -> Lazy:
        order = self.find(content)
        if order.state is not OrderState.OPEN:
            raise Refusal("40004", "ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
        self._book.change(order, OrderState.CLOSED, "closed")
        return _ok(out_trade_no=order.order_no, trade_no=order.channel_order_no)

    def find(self, content: dict[str, Any]) -> Order:
        """The order that is asked for; one whose code nobody has scanned is not there yet."""
        by_channel_no = (o for o in self._book.orders.values() if o.channel_order_no == content.get("trade_no"))
        order = self._book.orders.get(str(content.get("out_trade_no"))) or next(by_channel_no, None)
        if not content.get("out_trade_no") and not content.get("trade_no"):
            raise invalid("out_trade_no")
        if order is None or not order.data["opened"]:
            raise Refusal("40004", "ACQ.TRADE_NOT_EXIST", "交易不存在")
        self._expire(order)
        return order

    def entries(self, day: date) -> list[Entry]:
        """What was paid and given back on a day, which ends in Beijing."""

        def on(at: datetime | None) -> bool:
            return at is not None and at.astimezone(BEIJING).date() == day

        rows = [_entry(order) for order in self._book.orders.values() if on(order.paid_at)]
        rows += [
            _entry(refund.order, refund.refund_no, refund.amount_minor, refund.changed_at)
            for refund in self._book.refunds.values()
            if refund.state is MoneyOut.SUCCEEDED and on(refund.changed_at)
        ]
        return sorted(rows, key=lambda row: row.at)

    def _place(self, content: dict[str, Any], said: dict[str, str], method: str) -> Order:
        amount_minor, expires_at = self._check(content)
        order = self._book.orders.get(content["out_trade_no"])
        if order is None:
            now = self._book.clock.now()
            if expires_at is not None and expires_at <= now:
                raise Refusal("40004", "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR", "当前时间已超过允许支付的时间")
            order = Order(
                order_no=content["out_trade_no"],
                channel_order_no=self._book.new_channel_no(now.astimezone(BEIJING).strftime("%Y")),
                amount_minor=amount_minor,
                currency="CNY",
                description=content["subject"],
                notify_url=said.get("notify_url", ""),
                content={name: value for name, value in content.items() if not name.startswith("_")},
                code_url=f"https://qr.alipay.com/{secrets.token_hex(9)}",
                expires_at=expires_at,
                method=method,
                data={"opened": False, "created_at": now, "certified": "app_cert_sn" in said},
            )
            self._book.place(order)
            return order
        self._expire(order)
        if order.state is OrderState.PAID:
            closed = trade_status(self._book, order) == "TRADE_CLOSED"
            raise _HAS_CLOSED if closed else Refusal("40004", "ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
        if order.state is OrderState.CLOSED:
            raise _HAS_CLOSED
        same = (order.amount_minor, order.description) == (amount_minor, content["subject"])
        if not same or order.method != method:
            raise Refusal("40004", "ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
        return order

    def _check(self, content: dict[str, Any]) -> tuple[int, datetime | None]:
        """Refuse what Alipay refuses; return the amount and until when the order can be paid."""
        number, subject = content.get("out_trade_no"), content.get("subject")
        if not isinstance(number, str) or not _NUMBER.fullmatch(number):
            raise invalid("out_trade_no")
        if not isinstance(subject, str) or not 0 < len(subject) <= 256 or set(subject) & set("/=&"):
            raise invalid("subject")
        end = content.get("time_expire")
        try:
            expires_at = datetime.fromisoformat(end).replace(tzinfo=BEIJING).astimezone(UTC) if end else None
        except (ValueError, TypeError):
            raise invalid("time_expire") from None
        return yuan(content.get("total_amount"), "total_amount"), expires_at

    def _expire(self, order: Order) -> None:
        """Alipay closes an order whose time has passed, and tells nobody."""
        if order.state is OrderState.OPEN and not self._book.payable(order):
            self._book.change(order, OrderState.CLOSED, "closed")

    def _trade(self, order: Order) -> dict[str, Any]:
        amount = to_major(order.captured_minor or order.amount_minor, order.currency)
        node: dict[str, Any] = {
            "code": "10000",
            "msg": "Success",
            "out_trade_no": order.order_no,
            "trade_no": order.channel_order_no,
            "trade_status": trade_status(self._book, order),
            "total_amount": amount,
            "buyer_logon_id": "159****5620",
            "buyer_user_id": BUYER_ID,
            "point_amount": "0.00",
            "receipt_amount": amount if order.paid_at else "0.00",
            "buyer_pay_amount": amount if order.paid_at else "0.00",
            "invoice_amount": amount if order.paid_at else "0.00",
        }
        if order.paid_at is not None:
            node |= {
                "send_pay_date": beijing(order.paid_at),
                "fund_bill_list": [{"amount": amount, "fund_channel": "ALIPAYACCOUNT"}],
            }
        return node


_HAS_CLOSED = Refusal("40004", "ACQ.TRADE_HAS_CLOSE", "交易已经关闭")


def trade_status(book: Book, order: Order) -> str:
    """Alipay's word; what was paid and given back whole is closed."""
    if order.state is OrderState.PAID:
        given = [r for r in book.refunds.values() if r.order is order and r.state is MoneyOut.SUCCEEDED]
        whole = sum(refund.amount_minor for refund in given) == order.captured_minor
        return "TRADE_CLOSED" if whole else "TRADE_SUCCESS"
    return "TRADE_CLOSED" if order.state is OrderState.CLOSED else "WAIT_BUYER_PAY"


def invalid(name: str) -> Refusal:
    return Refusal("40004", "ACQ.INVALID_PARAMETER", f"参数无效：{name}")


def yuan(value: object, name: str) -> int:
    """An amount in yuan with at most two decimals, above nothing; what else is sent is refused."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # some kits send a number
    if not isinstance(value, str) or not _YUAN.fullmatch(value):
        raise invalid(name)
    amount_minor = from_major(value, "CNY")
    if not 0 < amount_minor <= _AMOUNT_MINOR_MAX:
        raise Refusal("40004", "ACQ.TOTAL_FEE_EXCEED", "订单总金额不在允许范围内")
    return amount_minor


def beijing(at: datetime) -> str:
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def _ok(**said: Any) -> Lazy:
    node = {"code": "10000", "msg": "Success", **said}
    return lambda _kind: node


def _entry(
    order: Order, refund_no: str | None = None, amount_minor: int | None = None, at: datetime | None = None
) -> Entry:
    """A bill's row: a payment, or with a number and an amount a refund, for which the fee goes back."""
    given = order.captured_minor if amount_minor is None else amount_minor
    fee = fee_minor(given, _FEE_PPM)
    at = at or order.paid_at
    assert at is not None
    return Entry(
        kind="payment" if refund_no is None else "refund",
        number=refund_no or order.order_no,
        channel_no=order.channel_order_no,
        order_no=order.order_no,
        channel_order_no=order.channel_order_no,
        amount_minor=given,
        order_amount_minor=order.amount_minor,
        currency=order.currency,
        fee_minor=fee if refund_no is None else -fee,
        state=PAYMENT if refund_no is None else REFUND,
        at=at,
        description=order.description,
        method=order.method,
        data={"created_at": order.data["created_at"]},
    )
