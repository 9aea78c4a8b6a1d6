"""WeChat Pay API v3, Native, as WeChat answers it: strict about our signatures, honest about its own.

Source:
    https://pay.weixin.qq.com/docs/merchant/products/native-payment/apilist.html (place),
    https://pay.weixin.qq.com/doc/v3/merchant/4013070356 (query), 4012556398 (close),
    https://pay.weixin.qq.com/wiki/doc/apiv3/apis/chapter3_2_5.shtml (notification and its schedule).
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.sandbox.bill import Entry
from hutong.sandbox.book import Book, Order, OrderState, Payout, Refund
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.simulator import Simulator, meet
from hutong.sandbox.wechat_keys import APPID, MCHID, PUBLIC_KEY_ID, WeChatSandboxKeys

_SCHEME = "WECHATPAY2-SHA256-RSA2048"
_WINDOW_S = 300
_LIFE_MIN = timedelta(minutes=1)
_BEIJING = timezone(timedelta(hours=8))
_ORDER_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
_AUTHORIZATION = re.compile(r'(\w+)="([^"]*)"')
_STATES = {
    OrderState.OPEN: ("NOTPAY", "订单未支付"),
    OrderState.PAID: ("SUCCESS", "支付成功"),
    OrderState.DECLINED: ("PAYERROR", "支付失败"),
    OrderState.CLOSED: ("CLOSED", "订单已关闭"),
}

SCHEDULE_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
"""The waits between WeChat's tries: 15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h."""

Answer = tuple[int, Any]
"""A status, and what is said with it; None for nothing."""

Work = Callable[[web.Request, bytes], Answer]


class Refusal(Exception):
    """What WeChat answers in place of doing what was asked."""

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.body: dict[str, Any] = {"code": code, "message": message}
        if field is not None:
            self.body["detail"] = {"location": "body", "field": field, "issue": message}


class WeChatSimulator(Simulator):
    """One merchant's view of WeChat Pay."""

    channel = "wechat"
    interfaces = frozenset({"place", "query", "close", "certificates"})
    schedule_s = SCHEDULE_S
    bill_kinds = ("trade", "fund_flow")
    odd_state = "REVOKED"

    def __init__(self, folder: Path, book: Book, notifier: Notifier) -> None:
        self.book = book
        self._keys = WeChatSandboxKeys.load(folder)
        self._notifier = notifier
        self._aead = AESGCM(self._keys.api_v3_key.encode())
        self._merchant_key = self._keys.merchant.key.public_key()

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return WeChatSandboxKeys.load(folder).credentials(url)

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:  # noqa: ARG004 - the body of an acceptance is not read
        return status in (200, 204)

    def routes(self) -> list[web.RouteDef]:
        orders = "/v3/pay/transactions/out-trade-no/{order_no}"
        return [
            web.post("/v3/pay/transactions/native", partial(self._answer, "place", self._place)),
            web.get(orders, partial(self._answer, "query", self._query)),
            web.post(orders + "/close", partial(self._answer, "close", self._close)),
            web.get("/v3/certificates", partial(self._answer, "certificates", self._certificates)),
        ]

    # What payers and banks do, told by the control API or the payer's page.

    def pay(self, order: Order, faults: NotifyFaults, *, force: bool = False) -> bool:
        if not self.book.pay(order, force=force):
            return False
        envelope = self._envelope(order, faults.amount_delta_minor)
        self._notifier.start(order, faults, lambda: (self._notice(envelope, order), envelope))
        return True

    def decline(self, order: Order, faults: NotifyFaults) -> bool:  # noqa: ARG002 - WeChat does not notify of this
        return self.book.decline(order)

    def finish_refund(self, refund: Refund, faults: NotifyFaults, *, succeeded: bool) -> bool:  # noqa: ARG002
        return self.book.finish_refund(refund, succeeded=succeeded)

    def finish_payout(self, payout: Payout, faults: NotifyFaults, *, succeeded: bool) -> bool:  # noqa: ARG002
        return self.book.finish_payout(payout, succeeded=succeeded)

    def entries(self, kind: str, day: date) -> list[Entry]:  # noqa: ARG002
        return []

    def bill(self, kind: str, day: date) -> bytes:  # noqa: ARG002
        return b""

    # The interfaces.

    async def _answer(self, interface: str, work: Work, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            self._authenticate(request, body)
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
            fail=_fail,
            reply=lambda answer, kind: self._reply(request, answer, kind),
        )

    def _reply(self, request: web.Request, answer: Answer, kind: str) -> web.Response:
        status, said = answer
        if kind == "other_order" and isinstance(said, dict):
            said = said | {"out_trade_no": "another_order_no"}
        body = b"" if said is None else orjson.dumps(said)
        if kind == "malformed":
            body = b'{"code_url": "weixin'
        elif kind == "too_long":
            body += b" " * (2 << 20)
        headers: dict[str, str] = {"Request-ID": secrets.token_hex(16)}
        if kind != "unsigned":
            headers |= self._sign(
                body + (b" " if kind == "bad_signature" else b""),
                request.headers.get("Wechatpay-Serial"),
                age_s=3600 if kind == "stale" else 0,
            )
        if body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        return web.Response(status=status, body=body, headers=headers)

    def _authenticate(self, request: web.Request, body: bytes) -> None:
        wrong = Refusal(401, "SIGN_ERROR", "错误的签名，验签失败")
        if request.headers.get("Accept") is None or request.headers.get("User-Agent") is None:
            raise Refusal(400, "PARAM_ERROR", "Http头缺少Accept或User-Agent")
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        said = dict(_AUTHORIZATION.findall(rest))
        if scheme != _SCHEME or set(said) != {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}:
            raise Refusal(401, "SIGN_ERROR", "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》")
        if said["mchid"] != MCHID or said["serial_no"] != self._keys.merchant.serial:
            raise Refusal(401, "SIGN_ERROR", "商户证书序列号有误")
        if not said["timestamp"].isdigit() or abs(int(said["timestamp"]) - self._now().timestamp()) > _WINDOW_S:
            raise Refusal(401, "SIGN_ERROR", "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
        lines = (request.method, request.raw_path, said["timestamp"], said["nonce_str"])
        message = "".join(f"{line}\n" for line in lines).encode() + body + b"\n"
        try:
            signature = base64.b64decode(said["signature"], validate=True)
            self._merchant_key.verify(signature, message, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise wrong from None

    def _place(self, request: web.Request, body: bytes) -> tuple[int, Any]:
        if request.content_type != "application/json":
            raise Refusal(415, "PARAM_ERROR", "请求头Content-Type须为application/json")
        content = _json(body)
        expires_at = _check(content, self._now())
        order = self.book.orders.get(content["out_trade_no"])
        if order is None:
            order = Order(
                order_no=content["out_trade_no"],
                channel_order_no=self.book.new_channel_no(),
                amount_minor=content["amount"]["total"],
                currency=content["amount"].get("currency", "CNY"),
                description=content["description"],
                notify_url=content["notify_url"],
                content=content,
                code_url=f"weixin://wxpay/bizpayurl?pr={secrets.token_urlsafe(9)}",
                expires_at=expires_at,
                data={"notify_serial": request.headers.get("Wechatpay-Serial")},
            )
            self.book.place(order)
        elif order.content != content:
            raise Refusal(403, "OUT_TRADE_NO_USED", "商户订单号重复")
        elif order.state is OrderState.PAID:
            raise Refusal(400, "ORDERPAID", "该订单已支付")
        elif not self.book.payable(order):
            raise Refusal(400, "ORDER_CLOSED", "该订单已关闭")
        return 200, {"code_url": order.code_url}

    def _query(self, request: web.Request, _body: bytes) -> tuple[int, Any]:
        if request.query.get("mchid") != MCHID:
            raise Refusal(400, "PARAM_ERROR", "商户号错误", field="mchid")
        return 200, self._transaction(self._order(request))

    def _close(self, request: web.Request, body: bytes) -> tuple[int, Any]:
        if _json(body).get("mchid") != MCHID:
            raise Refusal(400, "PARAM_ERROR", "商户号错误", field="mchid")
        order = self._order(request)
        if order.state is OrderState.PAID:
            raise Refusal(400, "ORDERPAID", "该订单已支付")
        if order.state is OrderState.OPEN:
            self.book.change(order, OrderState.CLOSED, "closed")
        return 204, None

    def _certificates(self, _request: web.Request, _body: bytes) -> tuple[int, Any]:
        platform = self._keys.platform
        sealed = self._seal(platform.certificate_pem.encode(), "certificate")
        entry = {
            "serial_no": platform.serial,
            "effective_time": platform.not_before.astimezone(_BEIJING).isoformat(),
            "expire_time": platform.not_after.astimezone(_BEIJING).isoformat(),
            "encrypt_certificate": sealed,
        }
        return 200, {"data": [entry]}

    def _order(self, request: web.Request) -> Order:
        order = self.book.orders.get(request.match_info["order_no"])
        if order is None:
            raise Refusal(404, "ORDER_NOT_EXIST", "订单不存在")
        return order

    # What WeChat says.

    def _transaction(self, order: Order, amount_delta_minor: int = 0) -> dict[str, Any]:
        word, text = _STATES[order.state]
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
        if order.state is OrderState.PAID and order.changed_at is not None:
            said["amount"] |= {"payer_total": total, "payer_currency": order.currency}
            said |= {
                "transaction_id": order.channel_order_no,
                "trade_type": "NATIVE",
                "bank_type": "OTHERS",
                "success_time": order.changed_at.astimezone(_BEIJING).isoformat(timespec="seconds"),
                "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
            }
        return said

    def _notice(self, envelope: bytes, order: Order) -> dict[str, str]:
        return self._sign(envelope, order.data["notify_serial"]) | {"Content-Type": "application/json"}

    def _envelope(self, order: Order, amount_delta_minor: int) -> bytes:
        """The notification's body: the same in every sending."""
        said = orjson.dumps(self._transaction(order, amount_delta_minor))
        return orjson.dumps(
            {
                "id": f"{secrets.token_hex(4)}-{order.channel_order_no}",
                "create_time": self._now().astimezone(_BEIJING).isoformat(timespec="seconds"),
                "resource_type": "encrypt-resource",
                "event_type": "TRANSACTION.SUCCESS",
                "summary": "支付成功",
                "resource": {"original_type": "transaction"} | self._seal(said, "transaction"),
            }
        )

    def _seal(self, plain: bytes, associated: str) -> dict[str, str]:
        nonce = secrets.token_hex(6)
        sealed = self._aead.encrypt(nonce.encode(), plain, associated.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": associated,
            "ciphertext": base64.b64encode(sealed).decode(),
        }

    def _sign(self, body: bytes, wanted_serial: str | None, *, age_s: int = 0) -> dict[str, str]:
        """The headers that prove a message; with the public key where the merchant asks for it."""
        public = wanted_serial == PUBLIC_KEY_ID
        key, serial = (
            (self._keys.public.key, PUBLIC_KEY_ID) if public else (self._keys.platform.key, self._keys.platform.serial)
        )
        timestamp, nonce = str(int(self._now().timestamp()) - age_s), secrets.token_hex(16)
        message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": serial,
            "Wechatpay-Signature": base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode(),
            "Wechatpay-Signature-Type": _SCHEME,
        }

    def _now(self) -> datetime:
        return self.book.clock.now()


def _fail(status: int | None, code: str | None) -> Answer:
    return status or 500, {"code": code or "SYSTEM_ERROR", "message": code or "系统异常，请稍后重试"}


def _about(request: web.Request, body: bytes) -> tuple[str, str]:
    """The order number and description that a call is about, for matching faults."""
    order_no = request.match_info.get("order_no")
    if order_no is not None:
        return order_no, ""
    try:
        content = _json(body)
    except Refusal:
        return "", ""
    return str(content.get("out_trade_no", "")), str(content.get("description", ""))


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise Refusal(400, "PARAM_ERROR", "请求体不是JSON对象")
    return content


def _check(content: Mapping[str, Any], now: datetime) -> datetime | None:
    """Refuse what WeChat refuses; return until when the order can be paid, put off as WeChat does where it is near."""
    for name, limit in (("appid", 32), ("mchid", 32), ("description", 127), ("notify_url", 255)):
        value = content.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            raise Refusal(400, "PARAM_ERROR", "输入源长度不符合规则", field=f"/body/{name}")
    order_no, amount = content.get("out_trade_no"), content.get("amount")
    if not isinstance(order_no, str) or not _ORDER_NO.fullmatch(order_no):
        raise Refusal(400, "PARAM_ERROR", "商户订单号格式错误", field="/body/out_trade_no")
    if not isinstance(amount, dict) or type(amount.get("total")) is not int or not 0 < amount["total"] < 2**31:
        raise Refusal(400, "PARAM_ERROR", "金额错误", field="/body/amount/total")
    if amount.get("currency", "CNY") != "CNY":
        raise Refusal(400, "PARAM_ERROR", "币种错误", field="/body/amount/currency")
    if not re.match(r"https?://[^?#]+$", content["notify_url"]):
        raise Refusal(400, "PARAM_ERROR", "通知地址错误", field="/body/notify_url")
    if (content["mchid"], content["appid"]) != (MCHID, APPID):
        raise Refusal(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")
    if "time_expire" not in content:
        return None
    try:
        expires_at = datetime.fromisoformat(content["time_expire"])
        if expires_at.tzinfo is None:
            raise ValueError
    except (ValueError, TypeError):
        raise Refusal(400, "PARAM_ERROR", "订单失效时间错误", field="/body/time_expire") from None
    return max(expires_at, now + _LIFE_MIN)
