"""WeChat Pay API v3 as WeChat answers it: strict about our signatures, honest about its own.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791877 (Native; the other products beside it), 4013070356 (query),
    4012556398 (close), 4012791862 (refund), 4012716434 (transfer), 4012791866 (bills),
    https://pay.weixin.qq.com/wiki/doc/apiv3/apis/chapter3_2_5.shtml (notification and its schedule).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.simulator import Simulator, meet
from hutong.sandbox.store import Book, MoneyOut, Order, OrderState, Payout, Refund
from hutong.sandbox.wechat import bill as wechat_bill
from hutong.sandbox.wechat.bill_downloads import BillDesk
from hutong.sandbox.wechat.keys import APPID, MCHID, WeChatSandboxKeys
from hutong.sandbox.wechat.refunds_and_payouts import MoneyDesk
from hutong.sandbox.wechat.validation import check_order
from hutong.sandbox.wechat.wire import Answer, Refusal, Wire, Work, fail, read_json, told

SCHEDULE_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
"""The waits between WeChat's tries: 15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h."""

ASKING_CODE = "0000"
"""A payment code that ends so has its payer asked for his password."""

_STATES = {
    OrderState.OPEN: ("NOTPAY", "订单未支付"),
    OrderState.PAID: ("SUCCESS", "支付成功"),
    OrderState.DECLINED: ("PAYERROR", "支付失败"),
    OrderState.CLOSED: ("CLOSED", "订单已关闭"),
}
_TYPES = {"native": "NATIVE", "jsapi": "JSAPI", "h5": "MWEB", "app": "APP", "codepay": "MICROPAY"}


class WeChatSimulator(Simulator):
    """One merchant's view of WeChat Pay."""

    channel = "wechat"
    interfaces = frozenset(
        {"place", "query", "close", "refund", "query_refund", "payout", "query_payout", "bill", "download"}
        | {"certificates"}
    )
    schedule_s = SCHEDULE_S
    bill_kinds = ("trade", "fund_flow")
    odd_state = "REVOKED"

    def __init__(self, folder: Path, book: Book, notifier: Notifier) -> None:
        self.book = book
        self._notifier = notifier
        self._wire = Wire(WeChatSandboxKeys.load(folder), book.clock)
        self._money = MoneyDesk(book)
        self._bills = BillDesk(book, self.bill)

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return WeChatSandboxKeys.load(folder).credentials(url)

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:  # noqa: ARG004 - the body of an acceptance is not read
        return status in (200, 204)

    def routes(self) -> list[web.RouteDef]:
        orders = "/v3/pay/transactions/out-trade-no/{number}"
        refunds = "/v3/refund/domestic/refunds"
        transfers = "/v3/fund-app/mch-transfer/transfer-bills"
        money, bills = self._money, self._bills
        return [
            *(self._post("place", f"/v3/pay/transactions/{name}", partial(self._place, name)) for name in _TYPES),
            self._get("query", orders, self._query),
            self._get("query", "/v3/pay/transactions/id/{channel_no}", self._query),
            self._post("close", f"{orders}/close", self._close),
            self._post("close", f"{orders}/reverse", self._reverse),
            self._post("refund", refunds, money.refund),
            self._get("query_refund", f"{refunds}/{{number}}", money.query_refund),
            self._post("payout", transfers, money.transfer),
            self._get("query_payout", f"{transfers}/out-bill-no/{{number}}", money.query_transfer),
            self._get("bill", "/v3/bill/tradebill", partial(bills.ask, "trade")),
            self._get("bill", "/v3/bill/fundflowbill", partial(bills.ask, "fund_flow")),
            self._get("download", "/v3/billdownload/file", bills.fetch),
            self._get("certificates", "/v3/certificates", lambda _request, _body: self._wire.certificates()),
        ]

    def _get(self, interface: str, path: str, work: Work) -> web.RouteDef:
        return web.get(path, partial(self._answer, interface, work))

    def _post(self, interface: str, path: str, work: Work) -> web.RouteDef:
        return web.post(path, partial(self._answer, interface, work))

    # What payers and banks do, told by the control API or the payer's page.

    def pay(self, order: Order, faults: NotifyFaults, *, force: bool = False) -> bool:
        if not self.book.pay(order, force=force):
            return False
        said = self._transaction(order, faults.amount_delta_minor)
        self._notify(order, faults, "TRANSACTION.SUCCESS", "transaction", "支付成功", order.channel_order_no, said)
        return True

    def decline(self, order: Order, faults: NotifyFaults) -> bool:  # noqa: ARG002 - WeChat does not notify of this
        return self.book.decline(order)

    def finish_refund(self, refund: Refund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        if not self.book.finish_refund(refund, succeeded=succeeded):
            return False
        event, summary = ("REFUND.SUCCESS", "退款成功") if succeeded else ("REFUND.ABNORMAL", "退款异常")
        said = self._money.refund_notice(refund, faults.amount_delta_minor)
        self._notify(refund, faults, event, "refund", summary, refund.channel_refund_no, said)
        return True

    def finish_payout(self, payout: Payout, faults: NotifyFaults, *, succeeded: bool) -> bool:
        if not self.book.finish_payout(payout, succeeded=succeeded):
            return False
        said = self._money.transfer_shown(payout, faults.amount_delta_minor)
        event = "MCHTRANSFER.BILL.FINISHED"
        self._notify(payout, faults, event, "mch_payment", "商家转账单据终态通知", payout.channel_payout_no, said)
        return True

    def entries(self, kind: str, day: date) -> list[Entry]:
        return wechat_bill.entries(self.book, kind, day)

    def bill(self, kind: str, day: date) -> bytes:
        planted = self.book.planted.get((kind, day.isoformat()))
        return wechat_bill.write(kind, self.entries(kind, day) if planted is None else planted)

    def rotate(self) -> bool:
        self._wire.rotate()
        return True

    def _notify(
        self,
        about: Order | Refund | Payout,
        faults: NotifyFaults,
        event: str,
        kind: str,
        summary: str,
        channel_no: str,
        said: Mapping[str, Any],
    ) -> None:
        envelope = self._wire.envelope(event, kind, summary, channel_no, said)
        serial = about.data.get("notify_serial")
        headers = {"Content-Type": "application/json"}
        self._notifier.start(about, faults, lambda: (self._wire.sign(envelope, serial) | headers, envelope))

    # The interfaces.

    async def _answer(self, interface: str, work: Work, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            self._wire.authenticate(request, body)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        number, text = _about(request, body)

        def do() -> Answer:
            try:
                return work(request, body)
            except Refusal as refusal:
                return refusal.status, refusal.body

        return await meet(
            self,
            request,
            interface,
            number=number,
            text=text,
            work=do,
            fail=fail,
            reply=lambda answer, kind: self._wire.reply(request, answer, kind),
        )

    def _place(self, product: str, request: web.Request, body: bytes) -> Answer:
        if request.content_type != "application/json":
            raise Refusal(415, "PARAM_ERROR", "请求头Content-Type须为application/json")
        content = read_json(body)
        expires_at = check_order(content, product, self.book.clock.now())
        order = self.book.orders.get(content["out_trade_no"])
        if order is None:
            order = Order(
                order_no=content["out_trade_no"],
                channel_order_no=self.book.new_channel_no(),
                amount_minor=content["amount"]["total"],
                currency=content["amount"].get("currency", "CNY"),
                description=content["description"],
                notify_url=content.get("notify_url", ""),
                content=content,
                code_url=_code(product),
                expires_at=expires_at,
                method=_TYPES[product],
                data={"notify_serial": request.headers.get("Wechatpay-Serial")},
            )
            self.book.place(order)
            if product == "codepay" and not content["payer"]["auth_code"].endswith(ASKING_CODE):
                self.book.pay(order)
        elif (order.content, order.method) != (content, _TYPES[product]):
            raise Refusal(403, "OUT_TRADE_NO_USED", "商户订单号重复")
        elif order.state is OrderState.PAID:
            raise Refusal(400, "ORDERPAID", "该订单已支付")
        elif not self.book.payable(order):
            raise Refusal(400, "ORDER_CLOSED", "该订单已关闭")
        return self._placed(product, order, request)

    def _placed(self, product: str, order: Order, request: web.Request) -> Answer:
        if product == "codepay":
            if order.state is OrderState.PAID:
                return 200, self._transaction(order)
            return 202, {"code": "USERPAYING", "message": "需要用户输入支付密码"}
        if product == "native":
            return 200, {"code_url": order.code_url}
        if product == "h5":
            return 200, {"h5_url": f"{request.url.origin()}/payer?code_url={quote(order.code_url)}"}
        return 200, {"prepay_id": order.code_url.removeprefix("prepay_id=")}

    def _query(self, request: web.Request, _body: bytes) -> Answer:
        if request.query.get("mchid") != MCHID:
            raise Refusal(400, "PARAM_ERROR", "商户号错误", field="mchid")
        return 200, self._transaction(self._order(request))

    def _close(self, request: web.Request, body: bytes) -> Answer:
        if read_json(body).get("mchid") != MCHID:
            raise Refusal(400, "PARAM_ERROR", "商户号错误", field="mchid")
        order = self._order(request)
        if order.state is OrderState.PAID:
            raise Refusal(400, "ORDERPAID", "该订单已支付")
        if order.state is OrderState.OPEN:
            self.book.change(order, OrderState.CLOSED, "closed")
        return 204, None

    def _reverse(self, request: web.Request, body: bytes) -> Answer:
        """End a code payment: what is unpaid is closed, what is paid is given back."""
        content = read_json(body)
        if (content.get("mchid"), content.get("appid")) != (MCHID, APPID):
            raise Refusal(400, "PARAM_ERROR", "商户号或appid错误", field="mchid")
        order = self._order(request)
        if order.method != "MICROPAY":
            raise Refusal(400, "INVALID_REQUEST", "仅付款码支付的订单可以撤销")
        if order.state is OrderState.PAID:
            order.captured_minor, order.paid_at = 0, None
        if order.state is not OrderState.CLOSED:
            self.book.change(order, OrderState.CLOSED, "reversed")
        return 200, {"appid": APPID, "mchid": MCHID, "out_trade_no": order.order_no}

    def _order(self, request: web.Request) -> Order:
        channel_no = request.match_info.get("channel_no")
        if channel_no is None:
            order = self.book.orders.get(request.match_info["number"])
        else:
            order = next((o for o in self.book.orders.values() if o.channel_order_no == channel_no and o.paid_at), None)
        if order is None:
            raise Refusal(404, "ORDER_NOT_EXIST", "订单不存在")
        return order

    def _transaction(self, order: Order, amount_delta_minor: int = 0) -> dict[str, Any]:
        word, text = _STATES[order.state]
        if order.state is OrderState.CLOSED and order.method == "MICROPAY":
            word, text = "REVOKED", "订单已撤销"
        if order.state is OrderState.OPEN and order.method == "MICROPAY":
            word, text = "USERPAYING", "用户支付中"
        if any(r.order is order and r.state is not MoneyOut.FAILED for r in self.book.refunds.values()):
            word, text = "REFUND", "订单发生过退款"
        total = order.amount_minor + amount_delta_minor
        said: dict[str, Any] = {
            "appid": APPID,
            "mchid": MCHID,
            "out_trade_no": order.order_no,
            "trade_state": word,
            "trade_state_desc": text,
            "attach": "",
            "amount": {"total": total, "currency": order.currency},
        }
        if order.state is OrderState.PAID and order.paid_at is not None:
            said["amount"] |= {"payer_total": total, "payer_currency": order.currency}
            said |= {
                "transaction_id": order.channel_order_no,
                "trade_type": order.method,
                "bank_type": "OTHERS",
                "success_time": told(order.paid_at),
                "payer": {"openid": wechat_bill.OPENID},
            }
        return said


def _code(product: str) -> str:
    """What the payer scans, or what his application hands over."""
    if product == "native":
        return f"weixin://wxpay/bizpayurl?pr={secrets.token_urlsafe(9)}"
    prepay_id = f"wx{secrets.token_hex(17)}"
    return f"prepay_id={prepay_id}" if product == "jsapi" else prepay_id


def _about(request: web.Request, body: bytes) -> tuple[str, str]:
    """The number and description that a call is about, for matching faults."""
    number = request.match_info.get("number")
    if number is not None:
        return number, ""
    try:
        content = read_json(body)
    except Refusal:
        return "", ""
    names = ("out_refund_no", "out_bill_no", "out_trade_no")
    return str(next((content[name] for name in names if name in content), "")), str(content.get("description", ""))
