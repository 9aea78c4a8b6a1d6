"""Orders at the WeChat Pay simulator: placed, queried, closed and reversed."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from aiohttp import web

from hutong.sandbox.records import Coupon, OrderState, OutgoingState, SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.wechat.parties import PARTY, Party
from hutong.sandbox.wechat.protocol import Answer, WeChatRefusal, format_time, read_json
from hutong.sandbox.wechat.validation import check_order

ASKING_CODE, POOR_CODE = "0000", "0002"
"""The ends of payment codes: whose payer is asked for their password, and whose payer has too little money."""
_REVOKED_AFTER = timedelta(seconds=45)
"""When WeChat itself revokes a payment by code that nobody has paid.

Source:
    https://pay.weixin.qq.com/wiki/doc/api/wxpay/en/guide/pos/Closed-loop_Transactions.shtml.
"""

PRODUCTS = {"native": "NATIVE", "jsapi": "JSAPI", "h5": "MWEB", "app": "APP", "codepay": "MICROPAY"}
"""The trade type of each product."""

_STATES = {
    OrderState.OPEN: ("NOTPAY", "订单未支付"),
    OrderState.PAID: ("SUCCESS", "支付成功"),
    OrderState.DECLINED: ("PAYERROR", "支付失败"),
    OrderState.CLOSED: ("CLOSED", "订单已关闭"),
}


class WeChatOrders:
    """The orders of all merchants."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def place(self, product: str, request: web.Request, body: bytes) -> Answer:
        if request.content_type != "application/json":
            raise WeChatRefusal(415, "PARAM_ERROR", "请求头Content-Type须为application/json")
        content = read_json(body)
        party = request[PARTY]
        expires_at = check_order(content, product, self._store.clock.now(), party)
        order = self._store.orders.get(content["out_trade_no"])
        if product == "codepay":
            expires_at = self._store.clock.now() + _REVOKED_AFTER
            if order is None and content["payer"]["auth_code"].endswith(POOR_CODE):
                raise WeChatRefusal(403, "NOT_ENOUGH", "用户账户余额不足")
        if order is None:
            order = SandboxOrder(
                order_no=content["out_trade_no"],
                channel_order_no=self._store.new_channel_no(),
                amount_minor=content["amount"]["total"],
                currency=content["amount"].get("currency", "CNY"),
                description=content["description"],
                notify_url=content.get("notify_url", ""),
                content=content,
                code_url=_code(product),
                expires_at=expires_at,
                method=PRODUCTS[product],
                data={"notify_serial": request.headers.get("Wechatpay-Serial"), "party": party},
            )
            self._store.place(order)
            if product == "codepay" and not content["payer"]["auth_code"].endswith(ASKING_CODE):
                self._store.pay(order)
        elif (order.content, order.method) != (content, PRODUCTS[product]):
            raise WeChatRefusal(403, "OUT_TRADE_NO_USED", "商户订单号重复")
        elif order.state is OrderState.PAID:
            raise WeChatRefusal(400, "ORDERPAID", "该订单已支付")
        elif not self._store.payable(order):
            raise WeChatRefusal(400, "ORDER_CLOSED", "该订单已关闭")
        return self._placed(product, order, request)

    def _placed(self, product: str, order: SandboxOrder, request: web.Request) -> Answer:
        if product == "codepay":
            if order.state is OrderState.PAID:
                return 200, self.transaction(order)
            return 202, {"code": "USERPAYING", "message": "需要用户输入支付密码"}
        if product == "native":
            return 200, {"code_url": order.code_url}
        if product == "h5":
            return 200, {"h5_url": f"{request.url.origin()}/payer?code_url={quote(order.code_url)}"}
        return 200, {"prepay_id": order.code_url.removeprefix("prepay_id=")}

    def query(self, request: web.Request, _body: bytes) -> Answer:
        request[PARTY].check_query(request.query)
        return 200, self.transaction(self._order(request))

    def close(self, request: web.Request, body: bytes) -> Answer:
        request[PARTY].check_query(read_json(body))
        order = self._order(request)
        if order.state is OrderState.PAID:
            raise WeChatRefusal(400, "ORDERPAID", "该订单已支付")
        if order.state is OrderState.OPEN:
            self._store.change(order, OrderState.CLOSED, "closed")
        return 204, None

    def reverse(self, request: web.Request, body: bytes) -> Answer:
        """End a code payment: close it if it is unpaid, return the money if it is paid."""
        content = read_json(body)
        party = request[PARTY]
        party.check_order(content)
        order = self._order(request)
        if order.method != "MICROPAY":
            raise WeChatRefusal(400, "INVALID_REQUEST", "仅付款码支付的订单可以撤销")
        if order.state is OrderState.PAID:
            order.captured_minor, order.paid_at = 0, None
        if order.state is not OrderState.CLOSED:
            self._store.change(order, OrderState.CLOSED, "reversed")
        return 200, party.order_names(order.content) | {"out_trade_no": order.order_no}

    def _order(self, request: web.Request) -> SandboxOrder:
        channel_no = request.match_info.get("channel_no")
        if channel_no is None:
            order = self._store.orders.get(request.match_info["number"])
        else:
            order = next(
                (o for o in self._store.orders.values() if o.channel_order_no == channel_no and o.paid_at), None
            )
        if order is None or order.data["party"] is not request[PARTY]:
            raise WeChatRefusal(404, "ORDER_NOT_EXIST", "订单不存在")
        is_by_code = order.method == PRODUCTS["codepay"]
        if is_by_code and order.state is OrderState.OPEN and not self._store.payable(order):
            self._store.change(order, OrderState.CLOSED, "revoked")
        return order

    def transaction(self, order: SandboxOrder, amount_delta_minor: int = 0) -> dict[str, Any]:
        """Return an order as its query and its notification show it."""
        state, text = _STATES[order.state]
        if order.state is OrderState.CLOSED and order.method == "MICROPAY":
            state, text = "REVOKED", "订单已撤销"
        if order.state is OrderState.OPEN and order.method == "MICROPAY":
            state, text = "USERPAYING", "用户支付中"
        if any(r.order is order and r.state is not OutgoingState.FAILED for r in self._store.refunds.values()):
            state, text = "REFUND", "订单发生过退款"
        total = order.amount_minor + amount_delta_minor
        party: Party = order.data["party"]
        document: dict[str, Any] = {
            **party.order_names(order.content),
            "out_trade_no": order.order_no,
            "trade_state": state,
            "trade_state_desc": text,
            "attach": "",
            "amount": {"total": total, "currency": order.currency},
        }
        if order.state is OrderState.PAID and order.paid_at is not None:
            payer_total = total - order.captured_minor + order.payer_minor
            document["amount"] |= {"payer_total": payer_total, "payer_currency": order.currency}
            if order.coupons:
                document["promotion_detail"] = [_coupon(number, coupon) for number, coupon in enumerate(order.coupons)]
            document |= {
                "transaction_id": order.channel_order_no,
                "trade_type": order.method,
                "bank_type": "OTHERS",
                "success_time": format_time(order.paid_at),
                "payer": party.payer(order.content),
            }
        return document


def _coupon(number: int, coupon: Coupon) -> dict[str, Any]:
    """Return a coupon as a paid order shows it. One of type NOCASH is not settled."""
    contributed = {"channel": "wechatpay_contribute", "platform": "other_contribute", "merchant": "merchant_contribute"}
    return {
        "coupon_id": f"{109519 + number}",
        "name": coupon.name,
        "scope": "GLOBAL",
        "type": "CASH" if coupon.settles else "NOCASH",
        "amount": coupon.amount_minor,
        "stock_id": f"{931386 + number}",
        **dict.fromkeys(contributed.values(), 0),
        contributed[coupon.funder]: coupon.amount_minor,
        "currency": "CNY",
    }


def _code(product: str) -> str:
    """Make the code that the payer scans, or that their application passes on."""
    if product == "native":
        return f"weixin://wxpay/bizpayurl?pr={secrets.token_urlsafe(9)}"
    prepay_id = f"wx{secrets.token_hex(17)}"
    return f"prepay_id={prepay_id}" if product == "jsapi" else prepay_id
