"""Money that leaves through the WeChat Pay simulator: refunds and transfers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from aiohttp import web

from hutong.sandbox.records import OrderState, OutgoingState, SandboxOrder, SandboxPayout, SandboxRefund
from hutong.sandbox.store import Store
from hutong.sandbox.wechat.bill import REFUND_STATES
from hutong.sandbox.wechat.keys import MCHID
from hutong.sandbox.wechat.parties import MERCHANT, PARTY, Party
from hutong.sandbox.wechat.protocol import Answer, WeChatRefusal, format_time, read_json

_WINDOW = timedelta(days=365)
_COUNT_MAX = 50
_NAMED_MIN = 30
"""The least amount of a transfer that may name its payee."""
_TRANSFER_STATES = {
    OutgoingState.PENDING: "WAIT_USER_CONFIRM",
    OutgoingState.SUCCEEDED: "SUCCESS",
    OutgoingState.FAILED: "FAIL",
}
_ACCOUNT = "支付用户零钱"


class WeChatRefundsAndPayouts:
    """Refunds and transfers: accepted, queried, and shown in notifications.

    Args:
        decrypt: Returns a text that the caller of a request has encrypted.
    """

    def __init__(self, store: Store, decrypt: Callable[[web.Request, object], str]) -> None:
        self._store = store
        self._decrypt = decrypt

    def refund(self, request: web.Request, body: bytes) -> Answer:
        content = read_json(body)
        request[PARTY].check_sub(content)
        order = self._paid_order(content, request[PARTY])
        existing = self._store.refunds.get(content["out_refund_no"])
        if existing is not None:
            if existing.order is not order or existing.amount_minor != content["amount"]["refund"]:
                raise WeChatRefusal(400, "INVALID_REQUEST", "同一个商户退款单号多次退款，退款金额必须一致")
            return 200, self.refund_document(existing)
        self._check_limits(order, content["amount"])
        refund = SandboxRefund(
            refund_no=content["out_refund_no"],
            channel_refund_no=self._store.new_channel_no("5030"),
            order=order,
            amount_minor=content["amount"]["refund"],
            currency=order.currency,
            notify_url=content.get("notify_url", ""),
            content=content,
            created_at=self._store.clock.now(),
            data={"notify_serial": request.headers.get("Wechatpay-Serial")},
        )
        self._store.start_refund(refund)
        return 200, self.refund_document(refund)

    def portal_refund(self, order: SandboxOrder, amount_minor: int) -> SandboxRefund:
        """Make a refund as the merchant platform does: under a number of its own."""
        channel_no = self._store.new_channel_no("5030")
        return SandboxRefund(
            refund_no=f"p{channel_no}",
            channel_refund_no=channel_no,
            order=order,
            amount_minor=amount_minor,
            currency=order.currency,
            notify_url=order.notify_url,
            content={},
            created_at=self._store.clock.now(),
        )

    def query_refund(self, request: web.Request, _body: bytes) -> Answer:
        request[PARTY].check_sub(request.query)
        refund = self._store.refunds.get(request.match_info["number"])
        if refund is None or refund.order.data["party"] is not request[PARTY]:
            raise WeChatRefusal(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return 200, self.refund_document(refund)

    def _paid_order(self, content: dict[str, Any], party: Party) -> SandboxOrder:
        order = self._store.orders.get(content.get("out_trade_no", ""))
        if order is None and "transaction_id" in content:
            channel_no = content["transaction_id"]
            order = next((o for o in self._store.orders.values() if o.channel_order_no == channel_no), None)
        if order is None or order.data["party"] is not party:
            raise WeChatRefusal(404, "RESOURCE_NOT_EXISTS", "订单不存在")
        if order.state is not OrderState.PAID or order.paid_at is None:
            raise WeChatRefusal(400, "INVALID_REQUEST", "订单未支付成功，不能退款")
        return order

    def _check_limits(self, order: SandboxOrder, amount: dict[str, Any]) -> None:
        assert order.paid_at is not None
        if amount["total"] != order.amount_minor:
            raise WeChatRefusal(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致")
        if not self._store.refundable_minor(order):
            raise WeChatRefusal(400, "INVALID_REQUEST", "订单已全额退款")
        if amount["refund"] > self._store.refundable_minor(order):
            raise WeChatRefusal(400, "INVALID_REQUEST", "申请退款金额大于订单可退金额")
        if self._store.clock.now() - order.paid_at > _WINDOW:
            raise WeChatRefusal(400, "INVALID_REQUEST", "订单已超过可退款的最大期限")
        if sum(refund.order is order for refund in self._store.refunds.values()) >= _COUNT_MAX:
            raise WeChatRefusal(400, "INVALID_REQUEST", "退款次数超过限制")

    def refund_document(self, refund: SandboxRefund) -> dict[str, Any]:
        """Return a refund as its acceptance and its query show it."""
        order = refund.order
        document: dict[str, Any] = {
            "refund_id": refund.channel_refund_no,
            "out_refund_no": refund.refund_no,
            "transaction_id": order.channel_order_no,
            "out_trade_no": order.order_no,
            "channel": "ORIGINAL",
            "user_received_account": _ACCOUNT,
            "create_time": format_time(refund.created_at),
            "status": REFUND_STATES[refund.state],
            "funds_account": refund.content.get("funds_account", "UNSETTLED"),
            "amount": {
                "total": order.amount_minor,
                "refund": refund.amount_minor,
                "payer_total": order.payer_minor,
                "payer_refund": refund.payer_minor,
                "settlement_refund": refund.settled_minor,
                "settlement_total": order.settled_minor,
                "discount_refund": sum(refund.returned),
                "currency": refund.currency,
            },
        }
        if refund.state is OutgoingState.SUCCEEDED and refund.changed_at is not None:
            document["success_time"] = format_time(refund.changed_at)
        return document

    def refund_notification(self, refund: SandboxRefund, amount_delta_minor: int) -> dict[str, Any]:
        """Return a refund as its notification shows it: with other names, and without a currency."""
        order, amount_minor = refund.order, refund.amount_minor + amount_delta_minor
        document: dict[str, Any] = {
            **order.data["party"].names,
            "transaction_id": order.channel_order_no,
            "out_trade_no": order.order_no,
            "refund_id": refund.channel_refund_no,
            "out_refund_no": refund.refund_no,
            "refund_status": REFUND_STATES[refund.state],
            "user_received_account": _ACCOUNT,
            "amount": {
                "total": order.amount_minor,
                "refund": amount_minor,
                "payer_total": order.payer_minor,
                "payer_refund": refund.payer_minor + amount_delta_minor,
            },
        }
        if refund.state is OutgoingState.SUCCEEDED and refund.changed_at is not None:
            document["success_time"] = format_time(refund.changed_at)
        return document

    def transfer(self, request: web.Request, body: bytes) -> Answer:
        content = read_json(body)
        if content["appid"] not in MERCHANT.apps:
            raise WeChatRefusal(400, "INVALID_REQUEST", "商户号与appid不匹配")
        if "user_name" in content:
            content["user_name"] = self._decrypt(request, content["user_name"])
            if content["transfer_amount"] < _NAMED_MIN:
                raise WeChatRefusal(400, "PARAM_ERROR", "转账金额小于0.3元时，不允许填写收款用户姓名")
        payout = self._store.payouts.get(content["out_bill_no"])
        if payout is None:
            payout = SandboxPayout(
                payout_no=content["out_bill_no"],
                channel_payout_no=self._store.new_channel_no("1330"),
                amount_minor=content["transfer_amount"],
                currency="CNY",
                payee={"openid": content["openid"]}
                | ({"name": content["user_name"]} if "user_name" in content else {}),
                notify_url=content.get("notify_url", ""),
                content=content,
                created_at=self._store.clock.now(),
                data={"notify_serial": request.headers.get("Wechatpay-Serial"), "package": secrets.token_urlsafe(60)},
            )
            self._store.start_payout(payout)
        elif payout.content != content:
            raise WeChatRefusal(400, "ALREADY_EXISTS", "商户单号已存在，且与原请求参数不一致")
        document = {
            "out_bill_no": payout.payout_no,
            "transfer_bill_no": payout.channel_payout_no,
            "create_time": format_time(payout.created_at),
            "state": _TRANSFER_STATES[payout.state],
        }
        if payout.state is OutgoingState.PENDING:
            document["package_info"] = payout.data["package"]
        return 200, document

    def query_transfer(self, request: web.Request, _body: bytes) -> Answer:
        payout = self._store.payouts.get(request.match_info["number"])
        if payout is None:
            raise WeChatRefusal(404, "NOT_FOUND", "转账单不存在")
        return 200, self.transfer_document(payout) | {"appid": payout.content["appid"]}

    def transfer_document(self, payout: SandboxPayout, amount_delta_minor: int = 0) -> dict[str, Any]:
        """Return a transfer as its notification shows it; the query adds the application's id."""
        document: dict[str, Any] = {
            "mch_id": MCHID,
            "out_bill_no": payout.payout_no,
            "transfer_bill_no": payout.channel_payout_no,
            "state": _TRANSFER_STATES[payout.state],
            "transfer_amount": payout.amount_minor + amount_delta_minor,
            "openid": payout.payee["openid"],
            "create_time": format_time(payout.created_at),
            "update_time": format_time(payout.changed_at or payout.created_at),
        }
        if payout.state is OutgoingState.FAILED:
            document["fail_reason"] = "MERCHANT_REJECT"
        return document
