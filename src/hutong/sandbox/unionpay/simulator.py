"""UnionPay's online gateway 5.1.0 with UnionPay's own strictness and its own signatures.

Source:
    https://open.unionpay.com/tjweb/acproduct/APIList?apiservId=448 (fields), and UnionPay's public clients (signature,
    notification and its schedule, clearing day, refunds, files, the reversal of a payment by code). Assumed and not
    documented: a repeated request for a QR order gets the same code, an order that expired unpaid has the response
    code 69, and one that was reversed 60.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.clock import BEIJING
from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.pages import web_address
from hutong.sandbox.records import Coupon, OrderState, SandboxOrder, SandboxPayout, SandboxRefund
from hutong.sandbox.simulator import Simulator, WayBack, answer_call
from hutong.sandbox.store import Store
from hutong.sandbox.unionpay.authorizations import FollowUp, UnionPayAuthorizationSimulator
from hutong.sandbox.unionpay.bill import order_row, pack_bill, refund_row, settle_date, write_bill
from hutong.sandbox.unionpay.fields import MESSAGES, Fields, response
from hutong.sandbox.unionpay.keys import MER_ID, Issued, UnionPaySandboxKeys
from hutong.sandbox.unionpay.orders import APP_CHANNEL, ASKING_CODE, POOR_CODE, UnionPayOrders
from hutong.sandbox.unionpay.refunds_and_payouts import UnionPayRefundSimulator
from hutong.sandbox.unionpay.validation import UnionPayRefusal, check

_Works = Mapping[tuple[str, str], tuple[str, Callable[[Fields], Fields]]]
_PAGES = (("01", "01"), ("02", "01"))
"""The kinds of orders that are paid, or whose money is reserved, on UnionPay's page or in its SDK."""


class UnionPaySimulator(Simulator):
    """One merchant's view of UnionPay."""

    channel = "unionpay"
    interfaces = frozenset({"place", "query", "close", "capture", "refund", "void", "query_refund", "bill"})
    schedule_s = (60, 120, 240, 300)
    bill_kinds = ("trade",)
    settlements = (("trade", MER_ID),)
    odd_state = "S56"

    def __init__(self, folder: Path, store: Store, notifier: Notifier) -> None:
        self.store = store
        self._keys = UnionPaySandboxKeys.load(folder)
        self._notifier = notifier
        self._orders = UnionPayOrders(store)
        self._refunds = UnionPayRefundSimulator(store)
        self._merchant_key = self._keys.merchant.key.public_key()
        self._authorizations = UnionPayAuthorizationSimulator(store, self._notify_of)
        place, refund = self._orders.place, self._refunds.refund
        self._back: _Works = {
            ("01", "06"): ("place", self._place_code),
            ("99", "01"): ("close", self._orders.reverse),
            ("01", "07"): ("place", place),
            ("11", "00"): ("place", place),
            ("03", "00"): ("capture", self._authorizations.complete),
            ("32", "00"): ("close", self._authorizations.release),
            ("04", "00"): ("refund", refund),
            ("31", "00"): ("void", refund),
            ("33", "00"): ("void", refund),
        }

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return UnionPaySandboxKeys.load(folder).credentials(url)

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:  # noqa: ARG004 - only the status counts
        return status == 200

    def routes(self) -> list[web.RouteDef]:
        api = "/gateway/api"
        return [
            web.post(f"{api}/frontTransReq.do", self._front),
            web.post(f"{api}/appTransReq.do", partial(self._answer, dict.fromkeys(_PAGES, ("place", self._place_app)))),
            web.post(f"{api}/backTransReq.do", partial(self._answer, self._back)),
            web.post(f"{api}/queryTrans.do", partial(self._answer, {("00", "00"): ("query", self._query)})),
            web.post("/unionpay/file/", partial(self._answer, {("76", "01"): ("bill", self._file)})),
        ]

    # Actions of payers and banks, requested by the control API or the payer's page.

    def way_back(self, order: SandboxOrder) -> WayBack | None:
        """Return `frontUrl`: what was paid is posted there, signed; what was not is only a way back."""
        address = web_address(order.content.get("frontUrl"))
        if address is None:
            return None
        if order.state not in (OrderState.PAID, OrderState.AUTHORIZED):
            return WayBack(address)
        return WayBack(address, self._sign(self._orders.document(order) | response("00"), self._keys.signer))

    def unusable(self, order: SandboxOrder, coupons: Sequence[Coupon]) -> str | None:
        if any(coupon.prepaid for coupon in coupons):
            return "UnionPay has no coupons that a merchant has paid for in advance"
        return super().unusable(order, coupons)

    def pay(self, order: SandboxOrder, faults: NotifyFaults, *, force: bool = False) -> bool:
        if not self.store.pay(order, force=force):
            return False
        if not order.capture:
            order.data["authorized_at"] = order.changed_at
        self._notify(order, self._orders.document(order, faults.amount_delta_minor) | response("00"), faults)
        return True

    def decline(self, order: SandboxOrder, faults: NotifyFaults) -> bool:
        if not self.store.decline(order):
            return False
        if (order.content["txnType"], order.content["txnSubType"]) in (("01", "06"), ("11", "00")):
            self._notify(order, self._orders.document(order) | response("64"), faults)
        return True

    def finish_refund(self, refund: SandboxRefund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        if not self.store.finish_refund(refund, succeeded=succeeded):
            return False
        fields = self._refunds.document(refund, faults.amount_delta_minor)
        self._notify(refund, fields | response("00" if succeeded else "60"), faults)
        return True

    def give_back_in_portal(
        self,
        order: SandboxOrder,
        amount_minor: int,
        faults: NotifyFaults,
        *,
        numbered: bool = True,  # noqa: ARG002
    ) -> SandboxRefund | None:
        refund = self._refunds.portal_refund(order, amount_minor)
        if not self.store.give_back_in_portal(refund):
            return None
        self._notify(refund, self._refunds.document(refund, faults.amount_delta_minor) | response("00"), faults)
        return refund

    def return_refund(self, refund: SandboxRefund, faults: NotifyFaults) -> bool:
        if not self.store.return_refund(refund):
            return False
        self._notify(refund, self._refunds.document(refund, faults.amount_delta_minor) | response("60"), faults)
        return True

    def finish_payout(self, payout: SandboxPayout, faults: NotifyFaults, *, succeeded: bool) -> bool:  # noqa: ARG002
        return False

    def entries(self, kind: str, day: date) -> list[Entry]:  # noqa: ARG002 - there is one kind
        orders, refunds = self.store.orders.values(), self.store.refunds.values()
        rows = [order_row(order) for order in orders if order.paid_at and settle_date(order.paid_at) == day]
        rows += [refund_row(r) for r in refunds if r.succeeded_at and r.changed_at and settle_date(r.changed_at) == day]
        return sorted(rows, key=lambda row: row.at)

    def bill(self, kind: str, day: date) -> bytes:
        planted = self.store.planted.get((kind, day.isoformat()))
        return write_bill(self.entries(kind, day) if planted is None else planted)

    # The channel's interfaces.

    async def _front(self, request: web.Request) -> web.StreamResponse:
        """Take the form from the payer's browser, and send the payer to UnionPay's own page."""
        fields, refusal = self._read(await request.read())
        if refusal is None and (fields["txnType"], fields["txnSubType"]) not in _PAGES:
            refusal = UnionPayRefusal("10", "交易子类不正确")
        if refusal is None and "frontUrl" not in fields:
            refusal = UnionPayRefusal("13", "报文交易要素缺失，缺少frontUrl")
        if refusal is None:
            try:
                self._orders.place(fields)
            except UnionPayRefusal as error:
                refusal = error
        if refusal is not None:
            return web.Response(status=200, text=f"{refusal.code} {refusal}", content_type="text/plain")
        order = self.store.orders[fields["orderId"]]
        raise web.HTTPFound(f"/payer?code_url={quote(order.code_url, safe='')}")

    async def _answer(self, works: _Works, request: web.Request) -> web.StreamResponse:
        fields, refusal = self._read(await request.read())
        interface, work = works.get((fields.get("txnType", ""), fields.get("txnSubType", "")), ("", self._query))
        if refusal is None and not interface:
            refusal = UnionPayRefusal("10", "交易类型不正确")
        if refusal is not None:
            return self._reply(_echo(fields) | _refusal_fields(refusal), "")
        number = fields.get("orderId", "")
        if interface == "query" and number in self.store.refunds:
            interface = "query_refund"

        def answer() -> Fields:
            try:
                return _echo(fields) | work(fields)
            except UnionPayRefusal as refusal:
                return _echo(fields) | _refusal_fields(refusal)

        return await answer_call(
            self,
            request,
            interface,
            number=number,
            text=fields.get("orderDesc", ""),
            work=answer,
            fail=lambda _status, code: _echo(fields) | {"respCode": code or "99", "respMsg": "通用错误[9999999]"},
            reply=self._reply,
        )

    def _reply(self, fields: Fields, kind: str) -> web.Response:
        """Make the response; the values of an answer are not encoded."""
        if kind == "other_order":
            fields = fields | {"orderId": "anotherorder0000"}
        signed = self._sign(fields, self._keys.stale if kind == "stale" else self._keys.signer)
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

    def _read(self, body: bytes) -> tuple[Fields, UnionPayRefusal | None]:
        """Read and authenticate a request; return its fields, and the refusal of a request that is not acceptable."""
        try:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
        except ValueError:
            return {}, UnionPayRefusal("10", "报文格式错误")
        fields = dict(pairs)
        if len(fields) != len(pairs) or "" in fields.values():
            return fields, UnionPayRefusal("10", "报文格式错误")
        if fields.get("certId") != str(self._keys.merchant.certificate.serial_number):
            return fields, UnionPayRefusal("11", "验证签名失败，证书序列号不存在")
        try:
            signature = base64.b64decode(fields.get("signature", ""), validate=True)
            self._merchant_key.verify(signature, _digest(fields), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return fields, UnionPayRefusal("11", "验证签名失败")
        try:
            check(fields, strict=self.store.faults.strict)
        except UnionPayRefusal as refusal:
            return fields, refusal
        return fields, None

    def _place_app(self, fields: Fields) -> Fields:
        """Place an order for UnionPay's SDK in an application."""
        if fields["channelType"] != APP_CHANNEL:
            raise UnionPayRefusal("10", "报文格式错误，channelType格式不正确")
        return self._orders.place(fields)

    def _place_code(self, fields: Fields) -> Fields:
        """Take the payer's code; its end tells whether the payer pays at once, too."""
        is_new = fields["orderId"] not in self.store.orders
        answer, faults = self._orders.place(fields), self.store.faults.notify
        if is_new and fields["qrNo"].endswith(POOR_CODE):
            self.decline(self.store.orders[fields["orderId"]], faults)
        elif is_new and not fields["qrNo"].endswith(ASKING_CODE):
            self.pay(self.store.orders[fields["orderId"]], faults)
        return answer

    def _query(self, fields: Fields) -> Fields:
        number = fields["orderId"]
        follow_up = self._authorizations.find(number, fields["txnTime"])
        order, refund = self.store.orders.get(number), self.store.refunds.get(number)
        if order is not None and order.content["txnTime"] == fields["txnTime"]:
            document, code = self._orders.document(order), self._orders.code(order)
        elif refund is not None and refund.content["txnTime"] == fields["txnTime"]:
            document, code = self._refunds.document(refund), self._refunds.code(refund)
        elif follow_up is not None:
            document, code = self._authorizations.document(follow_up), "00"
        else:
            raise UnionPayRefusal("34", "查无此交易[2600000]")
        return document | response("00") | {"origRespCode": code, "origRespMsg": MESSAGES[code]}

    def _file(self, fields: Fields) -> Fields:
        month, day_of_month = int(fields["settleDate"][:2]), int(fields["settleDate"][2:])
        today = self.store.clock.now().astimezone(BEIJING).date()
        try:
            candidates = [date(today.year - back, month, day_of_month) for back in (0, 1)]
            day = max(day for day in candidates if day <= settle_date(self.store.clock.now()))
        except ValueError:
            raise UnionPayRefusal("10", "报文格式错误") from None
        rows = self.bill("trade", day)
        if not rows:
            raise UnionPayRefusal("98", "文件不存在")
        content, name = pack_bill(rows, day)
        return response("00") | {"fileContent": content, "fileName": name, "settleDate": fields["settleDate"]}

    def _notify_of(self, follow_up: FollowUp) -> None:
        faults = self.store.faults.notify
        document = self._authorizations.document(follow_up, faults.amount_delta_minor)
        self._notify(follow_up, document | response("00"), faults)

    def _notify(self, subject: SandboxOrder | SandboxRefund | FollowUp, fields: Fields, faults: NotifyFaults) -> None:
        """Notify by a form, the same in every delivery."""
        body = urlencode(self._sign(fields, self._keys.signer)).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
        self._notifier.start(subject, faults, lambda: (headers, body))

    def _sign(self, fields: Fields, signer: Issued) -> Fields:
        signed = fields | {
            "version": "5.1.0",
            "encoding": "UTF-8",
            "signMethod": "01",
            "signPubKeyCert": signer.certificate_pem.replace("\n", "\r\n").strip(),
        }
        signature = signer.key.sign(_digest(signed), PKCS1v15(), SHA256())
        return signed | {"signature": base64.b64encode(signature).decode()}


def _refusal_fields(refusal: UnionPayRefusal) -> Fields:
    return {"respCode": refusal.code, "respMsg": str(refusal)}


def _echo(fields: Mapping[str, str]) -> Fields:
    """Return the fields that an answer repeats from its request."""
    names = ("txnType", "txnSubType", "bizType", "accessType", "merId", "orderId", "txnTime")
    return {name: fields[name] for name in names if name in fields and re.fullmatch(r"\w+", fields[name])}


def _digest(fields: Mapping[str, str]) -> bytes:
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()) if name != "signature")
    return hashlib.sha256(text.encode()).hexdigest().encode()
