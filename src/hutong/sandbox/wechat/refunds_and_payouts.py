"""Money that leaves through the WeChat Pay simulator: refunds and transfers."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from aiohttp import web

from hutong.sandbox.store import Book, MoneyOut, Order, OrderState, Payout, Refund
from hutong.sandbox.wechat.keys import APPID, MCHID
from hutong.sandbox.wechat.validation import check_refund, check_transfer
from hutong.sandbox.wechat.wire import Answer, Refusal, read_json, told

_WINDOW = timedelta(days=365)
_COUNT_MAX = 50
_REFUND_WORDS = {MoneyOut.PENDING: "PROCESSING", MoneyOut.SUCCEEDED: "SUCCESS", MoneyOut.FAILED: "ABNORMAL"}
_TRANSFER_WORDS = {MoneyOut.PENDING: "WAIT_USER_CONFIRM", MoneyOut.SUCCEEDED: "SUCCESS", MoneyOut.FAILED: "FAIL"}
_ACCOUNT = "支付用户零钱"


class MoneyDesk:
    """Takes refunds and transfers on, and tells of them."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def refund(self, request: web.Request, body: bytes) -> Answer:
        content = read_json(body)
        check_refund(content)
        order = self._paid(content)
        known = self._book.refunds.get(content["out_refund_no"])
        if known is not None:
            if known.order is not order or known.amount_minor != content["amount"]["refund"]:
                raise Refusal(400, "INVALID_REQUEST", "同一个商户退款单号多次退款，退款金额必须一致")
            return 200, self.refund_shown(known)
        self._allow(order, content["amount"])
        refund = Refund(
            refund_no=content["out_refund_no"],
            channel_refund_no=self._book.new_channel_no("5030"),
            order=order,
            amount_minor=content["amount"]["refund"],
            currency=order.currency,
            notify_url=content.get("notify_url", ""),
            content=content,
            created_at=self._book.clock.now(),
            data={"notify_serial": request.headers.get("Wechatpay-Serial")},
        )
        self._book.start_refund(refund)
        return 200, self.refund_shown(refund)

    def query_refund(self, request: web.Request, _body: bytes) -> Answer:
        refund = self._book.refunds.get(request.match_info["number"])
        if refund is None:
            raise Refusal(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return 200, self.refund_shown(refund)

    def _paid(self, content: dict[str, Any]) -> Order:
        order = self._book.orders.get(content.get("out_trade_no", ""))
        if order is None and "transaction_id" in content:
            wanted = content["transaction_id"]
            order = next((o for o in self._book.orders.values() if o.channel_order_no == wanted), None)
        if order is None:
            raise Refusal(404, "RESOURCE_NOT_EXISTS", "订单不存在")
        if order.state is not OrderState.PAID or order.paid_at is None:
            raise Refusal(400, "INVALID_REQUEST", "订单未支付成功，不能退款")
        return order

    def _allow(self, order: Order, amount: dict[str, Any]) -> None:
        assert order.paid_at is not None
        if amount["total"] != order.amount_minor:
            raise Refusal(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致")
        if amount["refund"] > self._book.refundable_minor(order):
            raise Refusal(400, "INVALID_REQUEST", "申请退款金额大于订单可退金额")
        if self._book.clock.now() - order.paid_at > _WINDOW:
            raise Refusal(400, "INVALID_REQUEST", "订单已超过可退款的最大期限")
        if sum(refund.order is order for refund in self._book.refunds.values()) >= _COUNT_MAX:
            raise Refusal(400, "INVALID_REQUEST", "退款次数超过限制")

    def refund_shown(self, refund: Refund) -> dict[str, Any]:
        """A refund as its acceptance and its query tell it."""
        order = refund.order
        said: dict[str, Any] = {
            "refund_id": refund.channel_refund_no,
            "out_refund_no": refund.refund_no,
            "transaction_id": order.channel_order_no,
            "out_trade_no": order.order_no,
            "channel": "ORIGINAL",
            "user_received_account": _ACCOUNT,
            "create_time": told(refund.created_at),
            "status": _REFUND_WORDS[refund.state],
            "funds_account": "AVAILABLE",
            "amount": {
                "total": order.amount_minor,
                "refund": refund.amount_minor,
                "payer_total": order.amount_minor,
                "payer_refund": refund.amount_minor,
                "settlement_refund": refund.amount_minor,
                "settlement_total": order.amount_minor,
                "discount_refund": 0,
                "currency": refund.currency,
            },
        }
        if refund.state is MoneyOut.SUCCEEDED and refund.changed_at is not None:
            said["success_time"] = told(refund.changed_at)
        return said

    def refund_notice(self, refund: Refund, amount_delta_minor: int) -> dict[str, Any]:
        """A refund as its notification tells it: with other names, and without a currency."""
        order, amount_minor = refund.order, refund.amount_minor + amount_delta_minor
        said: dict[str, Any] = {
            "mchid": MCHID,
            "transaction_id": order.channel_order_no,
            "out_trade_no": order.order_no,
            "refund_id": refund.channel_refund_no,
            "out_refund_no": refund.refund_no,
            "refund_status": _REFUND_WORDS[refund.state],
            "user_received_account": _ACCOUNT,
            "amount": {
                "total": order.amount_minor,
                "refund": amount_minor,
                "payer_total": order.amount_minor,
                "payer_refund": amount_minor,
            },
        }
        if refund.state is MoneyOut.SUCCEEDED and refund.changed_at is not None:
            said["success_time"] = told(refund.changed_at)
        return said

    def transfer(self, request: web.Request, body: bytes) -> Answer:
        content = read_json(body)
        check_transfer(content)
        known = self._book.payouts.get(content["out_bill_no"])
        if known is None:
            known = Payout(
                payout_no=content["out_bill_no"],
                channel_payout_no=self._book.new_channel_no("1330"),
                amount_minor=content["transfer_amount"],
                currency="CNY",
                payee={"openid": content["openid"]},
                notify_url=content.get("notify_url", ""),
                content=content,
                created_at=self._book.clock.now(),
                data={"notify_serial": request.headers.get("Wechatpay-Serial"), "package": secrets.token_urlsafe(60)},
            )
            self._book.start_payout(known)
        elif known.content != content:
            raise Refusal(400, "ALREADY_EXISTS", "商户单号已存在，且与原请求参数不一致")
        said = {
            "out_bill_no": known.payout_no,
            "transfer_bill_no": known.channel_payout_no,
            "create_time": told(known.created_at),
            "state": _TRANSFER_WORDS[known.state],
        }
        if known.state is MoneyOut.PENDING:
            said["package_info"] = known.data["package"]
        return 200, said

    def query_transfer(self, request: web.Request, _body: bytes) -> Answer:
        payout = self._book.payouts.get(request.match_info["number"])
        if payout is None:
            raise Refusal(404, "NOT_FOUND", "转账单不存在")
        return 200, self.transfer_shown(payout) | {"appid": APPID}

    def transfer_shown(self, payout: Payout, amount_delta_minor: int = 0) -> dict[str, Any]:
        """A transfer as its query and, without the application, its notification tell it."""
        said: dict[str, Any] = {
            "mch_id": MCHID,
            "out_bill_no": payout.payout_no,
            "transfer_bill_no": payout.channel_payout_no,
            "state": _TRANSFER_WORDS[payout.state],
            "transfer_amount": payout.amount_minor + amount_delta_minor,
            "openid": payout.payee["openid"],
            "create_time": told(payout.created_at),
            "update_time": told(payout.changed_at or payout.created_at),
        }
        if payout.state is MoneyOut.FAILED:
            said["fail_reason"] = "MERCHANT_REJECT"
        return said
