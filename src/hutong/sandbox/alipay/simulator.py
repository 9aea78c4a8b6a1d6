"""Alipay's open platform with Alipay's own strictness and its own signatures.

The gateway authenticates a request; `AlipayOrders` and `AlipayRefundsAndPayouts` fulfill it.

Source:
    https://opendocs.alipay.com/common/02kf5p (parameters), https://opendocs.alipay.com/common/02km9f (common codes),
    https://opendocs.alipay.com/open/05osv8 (notification), https://opendocs.alipay.com/support/01raw3 (the payer's
    return); notifications repeat over 24 h 22 min.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.clock import BEIJING
from hutong.sandbox.alipay.authorization import AlipayAuthorization
from hutong.sandbox.alipay.bill import bill_rows, pack_bill
from hutong.sandbox.alipay.complaints import AlipayComplaints
from hutong.sandbox.alipay.keys import APP_ID, ISV_APP_ID, SELLER_ID, AlipaySandboxKeys, certificate_of, sn
from hutong.sandbox.alipay.notifications import return_fields, trade_fields
from hutong.sandbox.alipay.orders import JSAPI, PAGES, AlipayOrders, AnswerNode
from hutong.sandbox.alipay.refunds_and_payouts import AlipayRefundsAndPayouts
from hutong.sandbox.alipay.validation import AlipayRefusal, check
from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Message, Notifier
from hutong.sandbox.pages import web_address
from hutong.sandbox.records import SandboxDispute, SandboxOrder, SandboxPayout, SandboxRefund
from hutong.sandbox.simulator import Simulator, WayBack, answer_call
from hutong.sandbox.store import Store

SCHEDULE_S = (240, 600, 600, 3600, 7200, 21600, 54000)
"""The waits between Alipay's deliveries: 4m,10m,10m,1h,2h,6h,15h."""

CHARSET = "utf-8"
_CLOCK_SKEW_MAX_S = 86_400
_BILL_LIFETIME_S = 30
_NUMBERS = ("out_request_no", "out_biz_no", "out_trade_no", "trade_no", "order_id")


class AlipaySimulator(Simulator):
    """One merchant's view of Alipay."""

    channel = "alipay"
    schedule_s = SCHEDULE_S
    bill_kinds = ("trade",)
    settlements = (("trade", SELLER_ID),)
    odd_state = "其他"

    def __init__(self, folder: Path, store: Store, notifier: Notifier) -> None:
        self.store = store
        self.keys = AlipaySandboxKeys.load(folder)
        self.signer = self.keys.platform
        """Signs in certificate mode. Set to `successor`, Alipay has changed its certificate."""
        self.charset = CHARSET
        """Of answers. Set to "GBK", Alipay answers in it though another one was asked for (smartwalle/alipay#257)."""
        self._notifier = notifier
        self._bills: dict[str, tuple[date, datetime]] = {}
        self._orders = AlipayOrders(self)
        self.outgoing = outgoing = AlipayRefundsAndPayouts(self, self._orders)
        self._complaints = AlipayComplaints(store)
        self.authorization = AlipayAuthorization(store)
        self._interfaces: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, str]], AnswerNode]]] = {
            "alipay.trade.precreate": ("place", self._orders.precreate),
            "alipay.trade.pay": ("place", self._orders.charge),
            JSAPI: ("place", self._orders.create),
            "alipay.trade.query": ("query", self._orders.query),
            "alipay.trade.close": ("close", self._orders.close),
            "alipay.trade.cancel": ("void", outgoing.cancel),
            "alipay.trade.refund": ("refund", outgoing.refund),
            "alipay.trade.fastpay.refund.query": ("query_refund", outgoing.query_refund),
            "alipay.fund.trans.uni.transfer": ("payout", outgoing.transfer),
            "alipay.fund.trans.common.query": ("query_payout", outgoing.query_transfer),
            "alipay.data.dataservice.bill.downloadurl.query": ("bill", self._bill_address),
            "alipay.open.app.alipaycert.download": ("certificates", self._certificate),
            **self._complaints.interfaces,
            **self.authorization.interfaces,
        }

    interfaces = frozenset(
        {"place", "query", "close", "void", "refund", "query_refund", "payout", "query_payout", "bill", "certificates"}
        | {"query_dispute", "list_disputes", "respond_to_dispute", "authorization"}
    )

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return AlipaySandboxKeys.load(folder).credentials(url)

    @classmethod
    def provider_credentials(cls, folder: Path, url: str) -> dict[str, object] | None:
        return AlipaySandboxKeys.load(folder).provider_credentials(url)

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:
        return status == 200 and body.strip() == b"success"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/gateway.do", self._gateway),
            web.get("/gateway.do", self._gateway),
            web.get("/alipay/bill/{token}", self._deliver_bill),
        ]

    # Actions of payers and banks, requested by the control API or the payer's page.

    def opened(self, order: SandboxOrder) -> None:
        order.data["opened"] = True

    def way_back(self, order: SandboxOrder) -> WayBack | None:
        """Return `return_url` with signed parameters once the order is paid, otherwise `quit_url` where it has one."""
        address, quit_url = (web_address(order.data.get(name)) for name in ("return_url", "quit_url"))
        back = quit_url or address
        if order.paid_at is None or address is None:
            return None if back is None else WayBack(back)
        (_, form) = self._message(return_fields(self.store, order), certified=bool(order.data.get("certified")))
        return WayBack(f"{address}{'&' if urlsplit(address).query else '?'}{form.decode()}")

    def pay(self, order: SandboxOrder, faults: NotifyFaults, *, force: bool = False) -> bool:
        self.opened(order)
        if not self.store.pay(order, force=force):
            return False
        self._notifier.start(order, faults, self._repeat(self._notification(order, faults.amount_delta_minor)))
        return True

    def decline(self, order: SandboxOrder, faults: NotifyFaults) -> bool:  # noqa: ARG002 - Alipay sends no notification
        """Decline as the payer's bank. To Alipay the order stays open: the payer may pay another way."""
        self.opened(order)
        return self.store.payable(order)

    def finish_refund(self, refund: SandboxRefund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        if not self.store.finish_refund(refund, succeeded=succeeded):
            return False
        if succeeded:
            self._notifier.start(refund, faults, self._repeat(self._notification(refund.order, 0, refund)))
        return True

    def give_back_in_portal(
        self, order: SandboxOrder, amount_minor: int, faults: NotifyFaults, *, numbered: bool = True
    ) -> SandboxRefund | None:
        refund = self.outgoing.portal_refund(order, amount_minor)
        if not self.store.give_back_in_portal(refund):
            return None
        self._notifier.start(refund, faults, self._repeat(self._notification(order, 0, refund, numbered=numbered)))
        return refund

    def return_refund(self, refund: SandboxRefund, faults: NotifyFaults) -> bool:  # noqa: ARG002
        """Return False: what a payer's bank returns, Alipay credits to the payer's balance (open/02ekfv)."""
        return False

    def open_dispute(
        self,
        order: SandboxOrder,
        faults: NotifyFaults,
        *,
        amount_minor: int,
        reason: str | None,
        form: str | None,
        statement: str,
    ) -> SandboxDispute | None:
        """Complain as the payer; Alipay takes no money for it."""
        dispute = None if form else self._complaints.open(order, amount_minor, reason=reason, statement=statement)
        return None if dispute is None else self._notify(dispute, faults)

    def move_dispute(self, dispute: SandboxDispute, faults: NotifyFaults, *, status: str) -> bool:
        if not self._complaints.move(dispute, status):
            return False
        self._notify(dispute, faults)
        return True

    def _notify(self, dispute: SandboxDispute, faults: NotifyFaults) -> SandboxDispute:
        """Send the message of a complaint about a trade in a mini program; of any other Alipay sends none."""
        certified = bool(dispute.order.data.get("certified"))
        message = self._message(self._complaints.message(dispute), certified=certified)
        self._notifier.start(dispute, faults, self._repeat(message))
        return dispute

    def finish_payout(self, payout: SandboxPayout, faults: NotifyFaults, *, succeeded: bool) -> bool:  # noqa: ARG002
        return self.store.finish_payout(payout, succeeded=succeeded)

    def entries(self, kind: str, day: date) -> list[Entry]:  # noqa: ARG002 - there is one kind
        return self._orders.entries(day)

    def bill(self, kind: str, day: date) -> bytes:
        return bill_rows(self._planted(kind, day), day, self.store.clock.now())

    def rotate(self) -> bool:
        self.signer = self.keys.successor
        return True

    def _planted(self, kind: str, day: date) -> list[Entry]:
        planted = self.store.planted.get((kind, day.isoformat()))
        return self.entries(kind, day) if planted is None else planted

    # The gateway.

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        form = [(name, str(value)) for name, value in (await request.post()).items()]
        pairs = [*request.query.items(), *form]
        parameters = dict(pairs)
        method = parameters.get("method", "")
        try:
            if len(parameters) != len(pairs):
                raise AlipayRefusal("40002", "isv.invalid-parameter", "参数重复")
            content = self._authenticate(parameters)
            if method in PAGES:
                self.authorization.check(parameters)
                check(method, content, strict=self.store.faults.strict)
                order = self._orders.open_page(content, parameters)
                raise web.HTTPFound(f"/payer?code_url={quote(order.code_url, safe='')}")
            if method not in self._interfaces:
                raise AlipayRefusal("40002", "isv.invalid-method", "不存在的方法名")
        except AlipayRefusal as refusal:
            # A refusal before the request is authenticated carries no signature, and one of an application that
            # Alipay does not know comes in GBK (chloerei/alipay#80).
            charset = "GBK" if refusal.node["sub_code"] == "isv.invalid-app-id" else CHARSET
            return _json_response({_node_name(method): refusal.node}, charset)
        interface, work = self._interfaces[method]
        content["_origin"] = f"{request.scheme}://{request.host}"

        def answer() -> AnswerNode:
            try:
                self.authorization.check(parameters)
                fields = content if "biz_content" in parameters else parameters
                check(method, fields, strict=self.store.faults.strict)
                return work(content, parameters)
            except AlipayRefusal as refusal:
                node = refusal.node
                return lambda _kind: node

        number = next((str(content[name]) for name in _NUMBERS if name in content), "")
        return await answer_call(
            self,
            request,
            interface,
            number=number,
            text=f"{content.get('out_trade_no', '')} {content.get('subject', '')}",
            work=answer,
            fail=_fail,
            reply=lambda node, kind: self._reply(parameters, node(kind), kind),
        )

    def _reply(self, parameters: dict[str, str], node: dict[str, Any], kind: str) -> web.Response:
        if kind == "other_order":
            node = node | {name: "another_number" for name in _NUMBERS if name in node}
        raw = orjson.dumps(node)
        answer: dict[str, Any] = {_node_name(parameters["method"]): orjson.Fragment(raw)}
        if kind != "unsigned":
            certified = "app_cert_sn" in parameters
            if certified:
                answer["alipay_cert_sn"] = sn(certificate_of(self.signer))
            signed = raw.decode().encode(self.charset) + (b" " if kind == "bad_signature" else b"")
            answer["sign"] = self._sign(signed, certified=certified)
        body = orjson.dumps(answer).decode().encode(self.charset)
        if kind == "malformed":
            body = body[: len(body) // 2]
        return _json_response(body + b" " * (2 << 20) if kind == "too_long" else body, self.charset)

    def _authenticate(self, parameters: dict[str, str]) -> dict[str, Any]:
        check("gateway.do", parameters, strict=self.store.faults.strict)
        if parameters["app_id"] not in (APP_ID, ISV_APP_ID):
            raise AlipayRefusal("40002", "isv.invalid-app-id", "无效的AppID参数")
        self._check_certificates(parameters)
        message = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if name != "sign" and value)
        try:
            signature = base64.b64decode(parameters["sign"], validate=True)
            self.keys.application.key.public_key().verify(signature, message.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise AlipayRefusal("40002", "isv.invalid-signature", "无效签名") from None
        self._check_time(parameters["timestamp"])
        try:
            content = orjson.loads(parameters.get("biz_content", "{}"))
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise AlipayRefusal("40002", "isv.illegal-json", "请求参数不是JSON")
        return content

    def _check_certificates(self, parameters: dict[str, str]) -> None:
        if "app_cert_sn" not in parameters and "alipay_root_cert_sn" not in parameters:
            return
        if parameters.get("app_cert_sn") != sn(certificate_of(self.keys.application)):
            raise AlipayRefusal("40002", "isv.app-cert-not-exist", "应用证书不存在")
        if parameters.get("alipay_root_cert_sn") != sn(certificate_of(self.keys.root)):
            raise AlipayRefusal("40002", "isv.invalid-alipay-root-cert-sn", "支付宝根证书序列号错误")

    def _check_time(self, timestamp: str) -> None:
        sent_at = datetime.fromisoformat(timestamp).replace(tzinfo=BEIJING)
        if abs((sent_at - self.store.clock.now()).total_seconds()) > _CLOCK_SKEW_MAX_S:
            raise AlipayRefusal("40002", "isv.invalid-timestamp", "非法的时间戳参数")

    def _sign(self, message: bytes, *, certified: bool) -> str:
        pair = self.signer if certified else self.keys.public
        return base64.b64encode(pair.key.sign(message, PKCS1v15(), SHA256())).decode()

    # Notifications.

    def _notification(
        self,
        order: SandboxOrder,
        amount_delta_minor: int,
        refund: SandboxRefund | None = None,
        *,
        numbered: bool = True,
    ) -> Message:
        """Make the notification of an order's new state, the same in every delivery; see `trade_fields`."""
        refunded_minor = self.outgoing.refunded_minor(order)
        fields = trade_fields(self.store, order, amount_delta_minor, refund, refunded_minor, numbered=numbered)
        return self._message(fields, certified=bool(order.data.get("certified")))

    def _message(self, fields: dict[str, str], *, certified: bool) -> Message:
        """Sign a form. In certificate mode, too, it does not say by which certificate it is signed."""
        charset = fields["charset"]
        message = "&".join(f"{name}={value}" for name, value in sorted(fields.items())).encode(charset)
        signed = fields | {"sign_type": "RSA2", "sign": self._sign(message, certified=certified)}
        body = "&".join(f"{name}={quote_plus(value, safe='*', encoding=charset)}" for name, value in signed.items())
        return {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}, body.encode()

    @staticmethod
    def _repeat(message: Message) -> Callable[[], Message]:
        return lambda: message

    # Bills and certificates.

    def _bill_address(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        try:
            day = date.fromisoformat(str(content.get("bill_date")))
        except ValueError:
            raise AlipayRefusal("40004", "invalid_arguments", "参数不合法") from None
        if content.get("bill_type") not in self.bill_kinds:
            raise AlipayRefusal("40004", "TYPE_NOT_SUPPORTED", "账单类型不支持")
        now = self.store.clock.now()
        closed = day < now.astimezone(BEIJING).date() or ("trade", day.isoformat()) in self.store.planted
        if not closed or not self._planted("trade", day):
            raise AlipayRefusal("40004", "isp.bill_not_exist", "账单不存在")
        token = secrets.token_hex(16)
        self._bills[token] = (day, now)
        about = f"bizType=trade&userId={SELLER_ID}0156&fileType=csv.zip&bizDates={day:%Y%m%d}"
        return _node(bill_download_url=f"{content['_origin']}/alipay/bill/{token}?{about}")

    async def _deliver_bill(self, request: web.Request) -> web.Response:
        day, prepared_at = self._bills.pop(request.match_info["token"], (None, datetime.min.replace(tzinfo=UTC)))
        now = self.store.clock.now()
        if day is None or (now - prepared_at).total_seconds() > _BILL_LIFETIME_S:
            return web.Response(status=403, text="the address has expired")
        body = pack_bill(self._planted("trade", day), day, now)
        return web.Response(body=body, content_type="application/zip")

    def _certificate(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        for pair in (self.keys.platform, self.keys.successor):
            if content.get("alipay_cert_sn") == sn(certificate_of(pair)):
                return _node(alipay_cert_content=base64.b64encode(self.keys.chain(pair).encode()).decode())
        raise AlipayRefusal("40004", "isv.alipay-cert-not-exist", "支付宝公钥证书不存在")


def _node(**fields: Any) -> AnswerNode:
    node = {"code": "10000", "msg": "Success", **fields}
    return lambda _kind: node


def _fail(status: int | None, code: str | None) -> AnswerNode:
    """Make an error answer. Alipay always answers 200 and reports errors by its own codes."""
    if status is None:
        node = AlipayRefusal("20000", "isp.unknow-error", "服务暂不可用", msg="Service Currently Unavailable").node
    else:
        node = AlipayRefusal("40004" if status >= 400 else "10000", code or "ACQ.SYSTEM_ERROR", "系统异常").node
    return lambda _kind: node


def _node_name(method: str) -> str:
    return f"{method.replace('.', '_')}_response" if re.fullmatch(r"[a-z.]+", method) else "error_response"


def _json_response(answer: bytes | dict[str, Any], charset: str = CHARSET) -> web.Response:
    body = answer if isinstance(answer, bytes) else orjson.dumps(answer).decode().encode(charset)
    return web.Response(body=body, content_type="text/html", charset=charset)
