"""UnionPay's online gateway 5.1.0 as UnionPay answers it: strict about our signatures, honest about its own.

Source:
    https://open.unionpay.com/tjweb/acproduct/APIList?apiservId=448 (fields), and UnionPay's public clients (signature,
    notification and its schedule, clearing day, refunds, files). What is assumed and not read anywhere: asking again
    for the same QR order gives the same code, and one that nobody paid in time is told as code 69.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.clock import to_ns
from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.simulator import Simulator, meet
from hutong.sandbox.store import Book, MoneyOut, Order, OrderState, Payout, Refund
from hutong.sandbox.unionpay.bill import BEIJING, pack_bill, payment_entry, refund_entry, settle_date, write_bill
from hutong.sandbox.unionpay.keys import MER_ID, Issued, UnionPaySandboxKeys
from hutong.sandbox.unionpay.validation import Refusal, check, read_time

Fields = dict[str, str]

_WORDS = {
    "00": "成功[0000000]",
    "05": "交易已受理，请稍后查询交易结果[6000005]",
    "60": "交易失败，详情请咨询您的发卡行[1000060]",
    "64": "卡上的余额不足[1000051]",
    "69": "您的输入超时，交易失败[2069000]",
}
_REFUND_DAYS = {"000000": 30}


class UnionPaySimulator(Simulator):
    """One merchant's view of UnionPay."""

    channel = "unionpay"
    interfaces = frozenset({"place", "query", "refund", "void", "query_refund", "bill"})
    schedule_s = (60, 120, 240, 300)
    bill_kinds = ("trade",)
    odd_state = "S56"

    def __init__(self, folder: Path, book: Book, notifier: Notifier) -> None:
        self.book = book
        self._keys = UnionPaySandboxKeys.load(folder)
        self._notifier = notifier
        self._merchant_key = self._keys.merchant.key.public_key()
        self._works: Mapping[tuple[str, str], tuple[str, Callable[[Fields], Fields]]] = {
            ("01", "06"): ("place", self._place),
            ("01", "07"): ("place", self._place),
            ("11", "00"): ("place", self._place),
            ("04", "00"): ("refund", self._give_back),
            ("31", "00"): ("void", self._give_back),
            ("00", "00"): ("query", self._query),
            ("76", "01"): ("bill", self._file),
        }

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return UnionPaySandboxKeys.load(folder).credentials(url)

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:  # noqa: ARG004 - the body of an acceptance is not read
        return status == 200

    def routes(self) -> list[web.RouteDef]:
        api = "/gateway/api"
        return [
            web.post(f"{api}/frontTransReq.do", self._front),
            web.post(f"{api}/backTransReq.do", partial(self._answer, frozenset({"01", "11", "04", "31"}))),
            web.post(f"{api}/queryTrans.do", partial(self._answer, frozenset({"00"}))),
            web.post("/unionpay/file/", partial(self._answer, frozenset({"76"}))),
        ]

    # What payers and banks do, told by the control API or the payer's page.

    def pay(self, order: Order, faults: NotifyFaults, *, force: bool = False) -> bool:
        if not self.book.pay(order, force=force):
            return False
        self._notify(order, self._payment(order, faults.amount_delta_minor) | _resp("00"), faults)
        return True

    def decline(self, order: Order, faults: NotifyFaults) -> bool:
        if not self.book.decline(order):
            return False
        if (order.content["txnType"], order.content["txnSubType"]) in (("01", "06"), ("11", "00")):
            self._notify(order, self._payment(order) | _resp("64"), faults)
        return True

    def finish_refund(self, refund: Refund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        if not self.book.finish_refund(refund, succeeded=succeeded):
            return False
        said = self._refund(refund, faults.amount_delta_minor) | _resp("00" if succeeded else "60")
        self._notify(refund, said, faults)
        return True

    def finish_payout(self, payout: Payout, faults: NotifyFaults, *, succeeded: bool) -> bool:  # noqa: ARG002
        return False

    def entries(self, kind: str, day: date) -> list[Entry]:  # noqa: ARG002 - there is one kind
        rows = [payment_entry(order) for order in self.book.orders.values() if order.paid_at is not None]
        rows += [refund_entry(r) for r in self.book.refunds.values() if r.state is MoneyOut.SUCCEEDED]
        return sorted((row for row in rows if settle_date(row.at) == day), key=lambda row: row.at)

    def bill(self, kind: str, day: date) -> bytes:
        planted = self.book.planted.get((kind, day.isoformat()))
        return write_bill(self.entries(kind, day) if planted is None else planted)

    # The interfaces.

    async def _front(self, request: web.Request) -> web.StreamResponse:
        """The payer's browser brings the form; UnionPay shows its own page."""
        fields, refused = self._read(await request.read())
        if refused is None and fields.get("txnSubType") != "01":
            refused = Refusal("10", "交易子类不正确")
        if refused is None:
            try:
                self._place(fields)
            except Refusal as refusal:
                refused = refusal
        if refused is not None:
            return web.Response(status=200, text=f"{refused.code} {refused}", content_type="text/plain")
        order = self.book.orders[fields["orderId"]]
        raise web.HTTPFound(f"/payer?code_url={quote(order.code_url, safe='')}")

    async def _answer(self, types: frozenset[str], request: web.Request) -> web.StreamResponse:
        fields, refused = self._read(await request.read())
        kind = (fields.get("txnType", ""), fields.get("txnSubType", ""))
        interface, work = self._works.get(kind, ("", self._query))
        if refused is None and (kind[0] not in types or not interface):
            refused = Refusal("10", "交易类型不正确")
        if refused is not None:
            return self._reply(_echo(fields) | _refused(refused), "")
        number = fields.get("orderId", "")
        if interface == "query" and number in self.book.refunds:
            interface = "query_refund"

        def do() -> Fields:
            try:
                return _echo(fields) | work(fields)
            except Refusal as refusal:
                return _echo(fields) | _refused(refusal)

        return await meet(
            self,
            request,
            interface,
            number=number,
            text=fields.get("orderDesc", ""),
            work=do,
            fail=lambda _status, code: _echo(fields) | {"respCode": code or "99", "respMsg": "通用错误[9999999]"},
            reply=self._reply,
        )

    def _reply(self, said: Fields, kind: str) -> web.Response:
        """An answer's values are not encoded."""
        if kind == "other_order":
            said = said | {"orderId": "anotherorder0000"}
        signed = self._sign(said, self._keys.stale if kind == "stale" else self._keys.signer)
        if kind == "unsigned":
            del signed["signature"], signed["signPubKeyCert"]
        if kind == "bad_signature":
            signed["respMsg"] += " "
        text = "&".join(f"{name}={value}" for name, value in signed.items())
        if kind == "malformed":
            text = text.replace("=", " ", 1)
        if kind == "too_long":
            text += " " * (2 << 20)
        return web.Response(text=text, content_type="text/html", charset="UTF-8")

    def _read(self, body: bytes) -> tuple[Fields, Refusal | None]:
        """The fields of a request, and why it is refused before it is looked at."""
        try:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
        except ValueError:
            return {}, Refusal("10", "报文格式错误")
        fields = dict(pairs)
        if len(fields) != len(pairs) or "" in fields.values():
            return fields, Refusal("10", "报文格式错误")
        if fields.get("certId") != str(self._keys.merchant.certificate.serial_number):
            return fields, Refusal("11", "验证签名失败，证书序列号不存在")
        try:
            signature = base64.b64decode(fields.get("signature", ""), validate=True)
            self._merchant_key.verify(signature, _digest(fields), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return fields, Refusal("11", "验证签名失败")
        try:
            check(fields)
        except Refusal as refusal:
            return fields, refusal
        return fields, None

    def _place(self, fields: Fields) -> Fields:
        content = {name: value for name, value in fields.items() if name not in ("signature", "certId")}
        order = self.book.orders.get(fields["orderId"])
        if order is None and fields["orderId"] not in self.book.refunds:
            order = Order(
                order_no=fields["orderId"],
                channel_order_no=self._query_id(),
                amount_minor=int(fields["txnAmt"]),
                currency="CNY",
                description=fields.get("orderDesc", ""),
                notify_url=fields["backUrl"],
                content=content,
                code_url=f"https://qr.95516.com/00010000/{secrets.randbits(124):038d}",
                expires_at=read_time(fields["payTimeout"]) if "payTimeout" in fields else None,
                method=fields["txnSubType"],
            )
            self.book.place(order)
        elif order is None or order.content != content or order.state is not OrderState.OPEN:
            raise Refusal("12", "重复交易")
        said = _resp("00")
        if fields["txnSubType"] == "07":
            said["qrCode"] = order.code_url
        return said

    def _query(self, fields: Fields) -> Fields:
        number = fields["orderId"]
        order, refund = self.book.orders.get(number), self.book.refunds.get(number)
        if order is not None and order.content["txnTime"] == fields["txnTime"]:
            said, code = self._payment(order), self._state(order)
        elif refund is not None and refund.content["txnTime"] == fields["txnTime"]:
            said = self._refund(refund)
            code = {MoneyOut.PENDING: "05", MoneyOut.SUCCEEDED: "00", MoneyOut.FAILED: "60"}[refund.state]
        else:
            raise Refusal("34", "查无此交易[2600000]")
        return said | _resp("00") | {"origRespCode": code, "origRespMsg": _WORDS[code]}

    def _state(self, order: Order) -> str:
        if order.state is OrderState.OPEN:
            return "05" if self.book.payable(order) else "69"
        return "00" if order.state is OrderState.PAID else "64"

    def _give_back(self, fields: Fields) -> Fields:
        number, amount_minor = fields["orderId"], int(fields["txnAmt"])
        content = {name: value for name, value in fields.items() if name not in ("signature", "certId")}
        if number in self.book.refunds or number in self.book.orders:
            raise Refusal("12", "重复交易")
        order = next((o for o in self.book.orders.values() if o.channel_order_no == fields["origQryId"]), None)
        if order is None or order.state is not OrderState.PAID or order.paid_at is None:
            raise Refusal("35", "原交易不存在或状态不正确[2011000]")
        now, left = self.book.clock.now(), self.book.refundable_minor(order)
        if fields["txnType"] == "31" and (
            amount_minor != order.amount_minor or left != amount_minor or settle_date(order.paid_at) != settle_date(now)
        ):
            raise Refusal("36", "与原交易信息不符[2012000]")
        if amount_minor > left:
            raise Refusal("36", "与原交易信息不符，退货金额超限[2012001]")
        if now > order.paid_at + timedelta(days=_REFUND_DAYS.get(order.content["bizType"], 330)):
            raise Refusal("35", "原交易不存在或状态不正确[4040007]")
        refund = Refund(
            refund_no=number,
            channel_refund_no=self._query_id(),
            order=order,
            amount_minor=amount_minor,
            currency="CNY",
            notify_url=fields["backUrl"],
            content=content,
            created_at=now,
        )
        self.book.start_refund(refund)
        return _resp("00") | {"queryId": refund.channel_refund_no, "origQryId": fields["origQryId"]}

    def _file(self, fields: Fields) -> Fields:
        month, day_of_month = int(fields["settleDate"][:2]), int(fields["settleDate"][2:])
        today = self.book.clock.now().astimezone(BEIJING).date()
        try:
            day = max(
                made
                for made in (date(today.year - back, month, day_of_month) for back in (0, 1))
                if made <= settle_date(self.book.clock.now())
            )
        except ValueError:
            raise Refusal("10", "报文格式错误") from None
        rows = self.bill("trade", day)
        if not rows:
            raise Refusal("98", "文件不存在")
        content, name = pack_bill(rows, day)
        return _resp("00") | {"fileContent": content, "fileName": name, "settleDate": fields["settleDate"]}

    # What UnionPay says.

    def _payment(self, order: Order, amount_delta_minor: int = 0) -> Fields:
        said = {name: order.content[name] for name in ("txnType", "txnSubType", "bizType", "accessType", "txnTime")}
        said |= {
            "merId": MER_ID,
            "orderId": order.order_no,
            "queryId": order.channel_order_no,
            "txnAmt": str(order.amount_minor + amount_delta_minor),
            "currencyCode": "156",
            "accNo": "622848*********0010",
        }
        return said | _traces(order.paid_at or order.changed_at, order.channel_order_no)

    def _refund(self, refund: Refund, amount_delta_minor: int = 0) -> Fields:
        said = {name: refund.content[name] for name in ("txnType", "txnSubType", "bizType", "accessType", "txnTime")}
        said |= {
            "merId": MER_ID,
            "orderId": refund.refund_no,
            "queryId": refund.channel_refund_no,
            "origQryId": refund.order.channel_order_no,
            "txnAmt": str(refund.amount_minor + amount_delta_minor),
            "currencyCode": "156",
        }
        return said | _traces(refund.changed_at or refund.created_at, refund.channel_refund_no)

    def _notify(self, about: Order | Refund, said: Fields, faults: NotifyFaults) -> None:
        """A notification is a form, and the same in every sending."""
        body = urlencode(self._sign(said, self._keys.signer)).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
        self._notifier.start(about, faults, lambda: (headers, body))

    def _sign(self, said: Fields, signer: Issued) -> Fields:
        signed = said | {
            "version": "5.1.0",
            "encoding": "UTF-8",
            "signMethod": "01",
            "signPubKeyCert": signer.certificate_pem.replace("\n", "\r\n").strip(),
        }
        signature = signer.key.sign(_digest(signed), PKCS1v15(), SHA256())
        return signed | {"signature": base64.b64encode(signature).decode()}

    def _query_id(self) -> str:
        """21 digits that no earlier or later run of the sandbox gives again."""
        count = len(self.book.orders) + len(self.book.refunds)
        return f"{to_ns(self.book.clock.now()) // 1000:016d}{count % 100_000:05d}"


def _traces(at: datetime | None, channel_no: str) -> Fields:
    if at is None:
        return {}
    local = at.astimezone(BEIJING)
    return {"traceNo": channel_no[-6:], "traceTime": f"{local:%m%d%H%M%S}", "settleDate": f"{settle_date(at):%m%d}"}


def _resp(code: str) -> Fields:
    return {"respCode": code, "respMsg": _WORDS[code]}


def _refused(refusal: Refusal) -> Fields:
    return {"respCode": refusal.code, "respMsg": str(refusal)}


def _echo(fields: Mapping[str, str]) -> Fields:
    """What an answer repeats of its request."""
    names = ("txnType", "txnSubType", "bizType", "accessType", "merId", "orderId", "txnTime")
    return {name: fields[name] for name in names if name in fields and re.fullmatch(r"\w+", fields[name])}


def _digest(fields: Mapping[str, str]) -> bytes:
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()) if name != "signature")
    return hashlib.sha256(text.encode()).hexdigest().encode()
