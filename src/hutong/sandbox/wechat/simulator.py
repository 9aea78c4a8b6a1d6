"""WeChat Pay API v3 with WeChat's own strictness and its own signatures.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791877 (Native; the other products beside it), 4013070356 (query),
    4012556398 (close), 4012791862 (refund), 4012716434 (transfer), 4012791866 (bills),
    https://pay.weixin.qq.com/wiki/doc/apiv3/apis/chapter3_2_5.shtml (notification and its schedule),
    https://pay.weixin.qq.com/wiki/doc/api/H5.php?chapter=15_4 (`redirect_url`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.pages import web_address
from hutong.sandbox.records import SandboxDispute, SandboxOrder, SandboxPayout, SandboxRecord, SandboxRefund
from hutong.sandbox.simulator import Simulator, WayBack, answer_call
from hutong.sandbox.store import Store
from hutong.sandbox.wechat.bill import FUND_FLOW, PARTNER_TRADE, TRADE, BillDownloads, bill_entries, write_bill
from hutong.sandbox.wechat.complaints import ADDRESS_PATH, PATH, WeChatComplaints
from hutong.sandbox.wechat.identity import WeChatIdentities
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from hutong.sandbox.wechat.orders import PRODUCTS, WeChatOrders
from hutong.sandbox.wechat.parties import MERCHANT, PARTIES, PARTY, PROVIDER, Party
from hutong.sandbox.wechat.protocol import Answer, WeChatProtocol, WeChatRefusal, Work, fail, read_json
from hutong.sandbox.wechat.refunds_and_payouts import WeChatRefundsAndPayouts
from hutong.sandbox.wechat.validation import check

SCHEDULE_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
"""The waits between WeChat's deliveries: 15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h."""


class WeChatSimulator(Simulator):
    """A merchant's view of WeChat Pay, and a service provider's of the merchant under it."""

    channel = "wechat"
    interfaces = frozenset(
        {"place", "query", "close", "refund", "query_refund", "payout", "query_payout", "bill", "download"}
        | {"certificates", "query_dispute", "list_disputes", "history", "reply", "complete", "complaint_address"}
    )
    schedule_s = SCHEDULE_S
    bill_kinds = (TRADE, FUND_FLOW, PARTNER_TRADE)
    settlements = ((TRADE, MERCHANT.number), (PARTNER_TRADE, PROVIDER.number))
    odd_state = "REVOKED"

    def __init__(self, folder: Path, store: Store, notifier: Notifier) -> None:
        self.store = store
        self._notifier = notifier
        self._protocol = WeChatProtocol(WeChatSandboxKeys.load(folder), store.clock)
        self._orders = WeChatOrders(store)
        self._outgoing = WeChatRefundsAndPayouts(store, self._protocol.decrypt)
        self._bills = BillDownloads(store, self.bill)
        self._complaints = WeChatComplaints(store, lambda dispute, act: self._tell(dispute, store.faults.notify, act))

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return WeChatSandboxKeys.load(folder).credentials(url)

    @classmethod
    def provider_credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return WeChatSandboxKeys.load(folder).provider_credentials(url)

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:  # noqa: ARG004 - only the status counts
        return status in (200, 204)

    def routes(self) -> list[web.RouteDef]:
        refund_path = "/v3/refund/domestic/refunds"
        transfer_path = "/v3/fund-app/mch-transfer/transfer-bills"
        outgoing, bills = self._outgoing, self._bills
        return [
            *self._order_routes("/v3/pay/transactions"),
            *self._order_routes("/v3/pay/partner/transactions"),
            self._post("refund", refund_path, outgoing.refund),
            self._get("query_refund", f"{refund_path}/{{number}}", outgoing.query_refund),
            self._post("payout", transfer_path, outgoing.transfer),
            self._get("query_payout", f"{transfer_path}/out-bill-no/{{number}}", outgoing.query_transfer),
            self._get("bill", "/v3/bill/tradebill", partial(bills.prepare, "trade")),
            self._get("bill", "/v3/bill/fundflowbill", partial(bills.prepare, "fund_flow")),
            self._get("download", "/v3/billdownload/file", bills.fetch),
            self._get("certificates", "/v3/certificates", self._certificates),
            *self._complaint_routes(),
            *WeChatIdentities().routes(),
        ]

    def _order_routes(self, root: str) -> list[web.RouteDef]:
        orders, path = self._orders, f"{root}/out-trade-no/{{number}}"
        return [
            *(self._post("place", f"{root}/{name}", partial(orders.place, name)) for name in PRODUCTS),
            self._get("query", path, orders.query),
            self._get("query", f"{root}/id/{{channel_no}}", orders.query),
            self._post("close", f"{path}/close", orders.close),
            self._post("close", f"{path}/reverse", orders.reverse),
        ]

    def _complaint_routes(self) -> list[web.RouteDef]:
        complaints, path = self._complaints, f"{PATH}/{{number}}"
        return [
            self._get("list_disputes", PATH, complaints.list_days),
            self._get("query_dispute", path, complaints.query),
            self._get("history", f"{path}/negotiation-historys", complaints.history),
            self._post("reply", f"{path}/response", complaints.reply),
            self._post("complete", f"{path}/complete", complaints.complete),
            self._get("complaint_address", ADDRESS_PATH, complaints.registered),
            self._post("complaint_address", ADDRESS_PATH, complaints.register),
            web.put(
                ADDRESS_PATH,
                partial(self._answer, "complaint_address", f"PUT {ADDRESS_PATH}", complaints.register),
            ),
        ]

    def _certificates(self, request: web.Request, _body: bytes) -> Answer:
        return self._protocol.certificates(request[PARTY].mchid)

    def _get(self, interface: str, path: str, work: Work) -> web.RouteDef:
        return web.get(path, partial(self._answer, interface, f"GET {path}", work))

    def _post(self, interface: str, path: str, work: Work) -> web.RouteDef:
        return web.post(path, partial(self._answer, interface, f"POST {path}", work))

    # Actions of payers and banks, requested by the control API or the payer's page.

    def visit(self, order: SandboxOrder, query: Mapping[str, str]) -> None:
        """Keep the `redirect_url` that the merchant has added to the address of an H5 order's page."""
        if order.method == PRODUCTS["h5"] and "redirect_url" in query:
            order.data["redirect_url"] = query["redirect_url"]

    def way_back(self, order: SandboxOrder) -> WayBack | None:
        """Return where an H5 page leads, whether the payer has paid or not; without an address it leads nowhere."""
        address = web_address(order.data.get("redirect_url"))
        return None if address is None else WayBack(address)

    def pay(self, order: SandboxOrder, faults: NotifyFaults, *, force: bool = False) -> bool:
        if not self.store.pay(order, force=force):
            return False
        content = self._orders.transaction(order, faults.amount_delta_minor)
        self._notify(order, faults, "TRANSACTION.SUCCESS", "transaction", "支付成功", order.channel_order_no, content)
        return True

    def decline(self, order: SandboxOrder, faults: NotifyFaults) -> bool:  # noqa: ARG002 - WeChat sends no notification
        return self.store.decline(order)

    def finish_refund(self, refund: SandboxRefund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        if not self.store.finish_refund(refund, succeeded=succeeded):
            return False
        event, summary = ("REFUND.SUCCESS", "退款成功") if succeeded else ("REFUND.ABNORMAL", "退款异常")
        content = self._outgoing.refund_notification(refund, faults.amount_delta_minor)
        self._notify(refund, faults, event, "refund", summary, refund.channel_refund_no, content)
        return True

    def give_back_in_portal(
        self,
        order: SandboxOrder,
        amount_minor: int,
        faults: NotifyFaults,
        *,
        numbered: bool = True,  # noqa: ARG002
    ) -> SandboxRefund | None:
        refund = self._outgoing.portal_refund(order, amount_minor)
        if not self.store.give_back_in_portal(refund):
            return None
        content = self._outgoing.refund_notification(refund, faults.amount_delta_minor)
        self._notify(refund, faults, "REFUND.SUCCESS", "refund", "退款成功", refund.channel_refund_no, content)
        return refund

    def return_refund(self, refund: SandboxRefund, faults: NotifyFaults) -> bool:
        if not self.store.return_refund(refund):
            return False
        content = self._outgoing.refund_notification(refund, faults.amount_delta_minor)
        self._notify(refund, faults, "REFUND.ABNORMAL", "refund", "退款异常", refund.channel_refund_no, content)
        return True

    def finish_payout(self, payout: SandboxPayout, faults: NotifyFaults, *, succeeded: bool) -> bool:
        if not self.store.finish_payout(payout, succeeded=succeeded):
            return False
        content = self._outgoing.transfer_document(payout, faults.amount_delta_minor)
        event = "MCHTRANSFER.BILL.FINISHED"
        self._notify(payout, faults, event, "mch_payment", "商家转账单据终态通知", payout.channel_payout_no, content)
        return True

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
        dispute = None if form else self._complaints.open(order, amount_minor, reason, statement)
        if dispute is not None:
            self._tell(dispute, faults, "CREATE_COMPLAINT")
        return dispute

    def move_dispute(self, dispute: SandboxDispute, faults: NotifyFaults, *, status: str) -> bool:
        """Do what the payer can, USER_RESPONSE or CONTINUE_COMPLAINT, or settle in the merchant platform, PROCESSED."""
        if not self._complaints.move(dispute, status):
            return False
        self._tell(dispute, faults, "MERCHANT_CONFIRM_COMPLETE" if status == "PROCESSED" else status)
        return True

    def _tell(self, dispute: SandboxDispute, faults: NotifyFaults, action: str) -> None:
        dispute.notify_url = self._complaints.address(dispute)
        event = "COMPLAINT.CREATE" if action == "CREATE_COMPLAINT" else "COMPLAINT.STATE_CHANGE"
        summary = "产生新投诉" if action == "CREATE_COMPLAINT" else "投诉状态变化"
        content = {"complaint_id": dispute.dispute_no, "action_type": action}
        self._notify(dispute, faults, event, "complaint", summary, dispute.dispute_no, content)

    def entries(self, kind: str, day: date) -> list[Entry]:
        return bill_entries(self.store, kind, day)

    def bill(self, kind: str, day: date) -> bytes:
        planted = self.store.planted.get((kind, day.isoformat()))
        return write_bill(kind, self.entries(kind, day) if planted is None else planted)

    def rotate(self) -> bool:
        self._protocol.rotate()
        return True

    def _notify(
        self,
        subject: SandboxRecord,
        faults: NotifyFaults,
        event: str,
        kind: str,
        summary: str,
        channel_no: str,
        content: Mapping[str, Any],
    ) -> None:
        order = subject if isinstance(subject, SandboxOrder) else getattr(subject, "order", None)
        party: Party = MERCHANT if order is None else order.data["party"]
        envelope = self._protocol.envelope(event, kind, summary, channel_no, content, party.mchid)
        serial = ((order.data if order is not None else {}) | subject.data).get("notify_serial")
        headers = {"Content-Type": "application/json"}
        self._notifier.start(subject, faults, lambda: (self._protocol.sign(envelope, serial) | headers, envelope))

    # The channel's interfaces.

    async def _answer(self, interface: str, rules: str, work: Work, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            request[PARTY] = PARTIES[self._protocol.authenticate(request, body)]
        except WeChatRefusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        number, text = _subject(request, body)

        def answer() -> Answer:
            try:
                request[PARTY].check_path(request.path)
                check(rules, request, body, strict=self.store.faults.strict)
                return work(request, body)
            except WeChatRefusal as refusal:
                return refusal.status, refusal.body

        return await answer_call(
            self,
            request,
            interface,
            number=number,
            text=text,
            work=answer,
            fail=fail,
            reply=lambda answer, kind: self._protocol.reply(request, answer, kind),
        )


def _subject(request: web.Request, body: bytes) -> tuple[str, str]:
    """Return the number and the description of a call's subject, for matching faults."""
    number = request.match_info.get("number")
    if number is not None:
        return number, ""
    try:
        content = read_json(body)
    except WeChatRefusal:
        return "", ""
    names = ("out_refund_no", "out_bill_no", "out_trade_no")
    return str(next((content[name] for name in names if name in content), "")), str(content.get("description", ""))
