"""Refunds, cancellations and transfers at the Alipay simulator.

Source:
    https://opendocs.alipay.com/open/02ekfs (refund), open/02ekft (refund query), open/02ekfr (cancel), and an answer of
    Alipay's sandbox without `refund_status`: https://github.com/yansongda/pay (tests/Provider/AlipayTest.php).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hutong.money import to_major
from hutong.sandbox.alipay.orders import AlipayOrders, AnswerNode, beijing
from hutong.sandbox.alipay.validation import AlipayRefusal, yuan
from hutong.sandbox.records import OrderState, OutgoingState, SandboxOrder, SandboxPayout, SandboxRefund
from hutong.sandbox.simulator import Simulator

_WINDOW = timedelta(days=365)
_TRANSFER_STATES = {
    OutgoingState.PENDING: "DEALING",
    OutgoingState.SUCCEEDED: "SUCCESS",
    OutgoingState.FAILED: "FAIL",
}
_CANCEL_WITHIN = timedelta(hours=24)
_NOBODY = "nobody"
"""A payee whose identity contains this text does not exist."""


class AlipayRefundsAndPayouts:
    """The refunds, cancellations and transfers of the merchant.

    Attributes:
        omits_status: Whether the query of a refund states all but `refund_status`, as Alipay's sandbox has answered.
    """

    def __init__(self, simulator: Simulator, orders: AlipayOrders) -> None:
        self._simulator = simulator
        self._store = simulator.store
        self._orders = orders
        self.omits_status = False

    def cancel(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        try:
            order = self._orders.find(content)
        except AlipayRefusal as refusal:
            if refusal.node["sub_code"] != "ACQ.TRADE_NOT_EXIST":
                raise
            node = {"code": "10000", "msg": "Success", "out_trade_no": content.get("out_trade_no"), "retry_flag": "N"}
            return lambda _kind: node
        action = "close"
        if order.state is OrderState.OPEN:
            self._store.change(order, OrderState.CLOSED, "closed")
        elif order.paid_at is not None:
            action = "refund"
            self._refund_in_full(order)
        node = {
            "code": "10000",
            "msg": "Success",
            "out_trade_no": order.order_no,
            "trade_no": order.channel_order_no,
            "retry_flag": "N",
            "action": action,
        }
        return lambda _kind: node

    def _refund_in_full(self, order: SandboxOrder) -> None:
        assert order.paid_at is not None
        if self._store.clock.now() - order.paid_at > _CANCEL_WITHIN:
            raise AlipayRefusal("40004", "ACQ.TRADE_CANCEL_TIME_OUT", "超过撤销时间范围")
        left_minor = self._store.refundable_minor(order)
        if left_minor:
            # Alipay gives this refund its own number; the platform queries it by the order's number.
            refund = self._start_refund(order, self._store.new_channel_no("2088"), left_minor, {})
            order.data["cancelled"] = refund.refund_no
            self._simulator.finish_refund(refund, self._store.faults.notify, succeeded=True)

    def refund(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        order = self._orders.find(content)
        amount_minor, number = yuan(content["refund_amount"]), content.get("out_request_no", order.order_no)
        refund = self._store.refunds.get(number)
        if refund is not None and (refund.order is not order or refund.amount_minor != amount_minor):
            raise AlipayRefusal("40004", "ACQ.DISCORDANT_REPEAT_REQUEST", "不一致的请求")
        if refund is not None:
            return lambda _kind: self._refund_node(order, changed=False)
        if order.paid_at is None:
            raise AlipayRefusal("40004", "ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
        if self._store.clock.now() - order.paid_at > _WINDOW:
            raise AlipayRefusal("40004", "ACQ.TRADE_HAS_FINISHED", "交易已完结")
        if amount_minor > self._store.refundable_minor(order):
            raise AlipayRefusal("40004", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")
        started = self._start_refund(order, number, amount_minor, content)

        def answer(kind: str) -> dict[str, Any]:
            faults = self._store.faults
            succeeds_now = kind != "refund_fails_after_accept" and faults.money_out_ms == 0
            if succeeds_now:
                self._simulator.finish_refund(started, faults.notify, succeeded=True)
            return self._refund_node(order, changed=succeeds_now)

        return answer

    def _start_refund(
        self, order: SandboxOrder, number: str, amount_minor: int, content: dict[str, Any]
    ) -> SandboxRefund:
        refund = self._new_refund(order, number, amount_minor, content)
        self._store.start_refund(refund)
        return refund

    def portal_refund(self, order: SandboxOrder, amount_minor: int) -> SandboxRefund:
        """Make a refund as the merchant's portal does: under a number of its own."""
        return self._new_refund(order, self._store.new_channel_no("2088"), amount_minor, {})

    def _new_refund(
        self, order: SandboxOrder, number: str, amount_minor: int, content: dict[str, Any]
    ) -> SandboxRefund:
        return SandboxRefund(
            refund_no=number,
            channel_refund_no=order.channel_order_no,
            order=order,
            amount_minor=amount_minor,
            currency=order.currency,
            notify_url=order.notify_url,
            content=content,
            created_at=self._store.clock.now(),
        )

    def refunded_minor(self, order: SandboxOrder) -> int:
        """Return how much of an order has gone back by all refunds."""
        refunds = (r for r in self._store.refunds.values() if r.order is order and r.state is OutgoingState.SUCCEEDED)
        return sum(refund.amount_minor for refund in refunds)

    def _refund_node(self, order: SandboxOrder, *, changed: bool) -> dict[str, Any]:
        return {
            "code": "10000",
            "msg": "Success",
            "out_trade_no": order.order_no,
            "trade_no": order.channel_order_no,
            "buyer_logon_id": "159****5620",
            "fund_change": "Y" if changed else "N",
            "refund_fee": to_major(self.refunded_minor(order), order.currency),
        }

    def query_refund(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        order, number = self._orders.find(content), content["out_request_no"]
        refund_no = order.data.get("cancelled", number) if number == order.order_no else number
        refund = self._store.refunds.get(refund_no)
        node: dict[str, Any] = {"code": "10000", "msg": "Success"}
        if refund is not None and refund.order is order and refund.state is OutgoingState.SUCCEEDED:
            node |= {
                "out_trade_no": order.order_no,
                "trade_no": order.channel_order_no,
                "out_request_no": number,
                "total_amount": to_major(order.captured_minor, order.currency),
                "refund_amount": to_major(refund.amount_minor, order.currency),
                "refund_status": "REFUND_SUCCESS",
            }
            if "refund_detail_item_list" in content.get("query_options", []):
                node |= {
                    "send_back_fee": to_major(refund.settled_minor, order.currency),
                    "present_refund_buyer_amount": to_major(refund.payer_minor, order.currency),
                    "present_refund_mdiscount_amount": to_major(refund.borne_minor, order.currency),
                }
            if "gmt_refund_pay" in content.get("query_options", []) and refund.changed_at is not None:
                node["gmt_refund_pay"] = beijing(refund.changed_at)
        elif refund is not None and refund.order is order:
            # The states of a refund that Alipay processes later.
            state = {OutgoingState.PENDING: "REFUND_PROCESSING", OutgoingState.FAILED: "REFUND_FAIL"}[refund.state]
            amounts = {"refund_amount": to_major(refund.amount_minor, order.currency), "refund_status": state}
            node |= {"out_trade_no": order.order_no, "trade_no": order.channel_order_no, "out_request_no": number}
            node |= amounts
        if self.omits_status:
            node.pop("refund_status", None)
        return lambda _kind: node

    def transfer(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        number, payee, amount_minor = content["out_biz_no"], content["payee_info"], yuan(content["trans_amount"])
        payout = self._store.payouts.get(number)
        if payout is not None and (payout.amount_minor, payout.payee) != (amount_minor, payee):
            raise AlipayRefusal("40004", "PAYMENT_INFO_INCONSISTENCY", "两次请求商户单号一样，但是参数不一致")
        if payout is None:
            payout = self._start_transfer(number, payee, amount_minor, content)
        started = payout

        def answer(kind: str) -> dict[str, Any]:
            faults = self._store.faults
            if kind != "refund_fails_after_accept" and faults.money_out_ms == 0:
                self._simulator.finish_payout(started, faults.notify, succeeded=True)
            return self._transfer_node(started)

        return answer

    def _start_transfer(
        self, number: str, payee: dict[str, str], amount_minor: int, content: dict[str, Any]
    ) -> SandboxPayout:
        if _NOBODY in payee["identity"]:
            raise AlipayRefusal("40004", "PAYEE_NOT_EXIST", "收款用户不存在")
        payout = SandboxPayout(
            payout_no=number,
            channel_payout_no=self._store.new_channel_no("2026"),
            amount_minor=amount_minor,
            currency="CNY",
            payee=payee,
            notify_url="",
            content=content,
            created_at=self._store.clock.now(),
        )
        self._store.start_payout(payout)
        return payout

    def query_transfer(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        payout = self._store.payouts.get(str(content.get("out_biz_no")))
        if payout is None:
            raise AlipayRefusal("40004", "ORDER_NOT_EXIST", "转账订单不存在")
        node = self._transfer_node(payout) | {"trans_amount": to_major(payout.amount_minor, payout.currency)}
        return lambda _kind: node

    def _transfer_node(self, payout: SandboxPayout) -> dict[str, Any]:
        node = {
            "code": "10000",
            "msg": "Success",
            "out_biz_no": payout.payout_no,
            "order_id": payout.channel_payout_no,
            "status": _TRANSFER_STATES[payout.state],
            "trans_date": beijing(payout.changed_at or payout.created_at),
        }
        if payout.state is OutgoingState.FAILED:
            node |= {"error_code": "PAYEE_ACCOUNT_STATUS_ERROR", "fail_reason": "收款方账号异常"}
        return node
