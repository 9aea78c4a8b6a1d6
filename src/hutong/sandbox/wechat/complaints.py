"""Complaints at the WeChat Pay simulator: opened and continued by the payer, replied to and settled by the merchant.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012533431 (list), 4012467254 (reply);
    https://pay.weixin.qq.com/docs/merchant/apis/consumer-complaint/complaints/query-complaint-v2.html (query);
    https://pay.weixin.qq.com/wiki/doc/apiv3/apis/chapter10_2_15.shtml (settled), chapter10_2_16.shtml (notification);
    github.com/minibear2021/wechatpayv3, complaint.py (history).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from aiohttp import web

from hutong.clock import BEIJING
from hutong.sandbox.records import OrderState, OutgoingState, SandboxDispute, SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.wechat.parties import PARTY, Party
from hutong.sandbox.wechat.protocol import Answer, WeChatRefusal, format_time, read_json

PATH = "/v3/merchant-service/complaints-v2"
ADDRESS_PATH = "/v3/merchant-service/complaint-notifications"
REASONS = ("REFUND", "SERVICE_NOT_WORK", "OTHERS")
_DAYS_MAX = 30
_MOVES: Mapping[str, tuple[str, str, str]] = {
    "USER_RESPONSE": ("", "USER_RESPONSE", "请尽快处理。"),
    "CONTINUE_COMPLAINT": ("PENDING", "USER_CONTINUE_COMPLAINT", "问题仍未解决。"),
    "PROCESSED": ("PROCESSED", "MERCHANT_CONFIRM_COMPLETE", ""),
}
"""What the payer, or a person in the merchant platform, can do: the new status, the entry of the history, its text."""


class WeChatComplaints:
    """The complaints of all merchants.

    Args:
        notify: Notifies of a complaint, with the action.
    """

    def __init__(self, store: Store, notify: Callable[[SandboxDispute, str], None]) -> None:
        self._store = store
        self._notify = notify
        self._addresses: dict[str, str] = {}

    # Acts of the payer, and of a person in the merchant platform.

    def open(self, order: SandboxOrder, amount_minor: int, reason: str | None, statement: str) -> SandboxDispute | None:
        """Complain about a paid order; None if it is not paid, or WeChat has no such reason."""
        reason = reason or REASONS[0]
        if order.state is not OrderState.PAID or reason not in REASONS or amount_minor > order.amount_minor:
            return None
        dispute = SandboxDispute(
            dispute_no=self._store.new_channel_no("2002")[:27],
            order=order,
            amount_minor=amount_minor,
            reason=reason,
            status="PENDING",
            opened_at=self._store.clock.now(),
            statement=statement or "商品没有收到。",
            data={"times": 1, "unanswered": False, "history": []},
        )
        while dispute.dispute_no in self._store.disputes:
            dispute.dispute_no = str(int(dispute.dispute_no) + 1)
        self._store.open_dispute(dispute)
        self._log(dispute, "USER_CREATE_COMPLAINT", dispute.statement, operator="投诉人")
        return dispute

    def move(self, dispute: SandboxDispute, action: str) -> bool:
        """Let the payer write or continue, or a person settle the complaint; return whether that was possible."""
        if action not in _MOVES or (dispute.status == "PROCESSED") != (action == "CONTINUE_COMPLAINT"):
            return False
        status, entry, text = _MOVES[action]
        dispute.data["unanswered"] = action == "USER_RESPONSE"
        dispute.data["times"] += action == "CONTINUE_COMPLAINT"
        self._log(dispute, entry, text, operator="商户" if action == "PROCESSED" else "投诉人")
        self._store.change_dispute(dispute, status or dispute.status)
        return True

    def address(self, dispute: SandboxDispute) -> str:
        """Return where a complaint is notified: the registered address, or in its absence the order's own."""
        party: Party = dispute.order.data["party"]
        return self._addresses.get(party.mchid, dispute.order.notify_url)

    # The channel's interfaces.

    def list_days(self, request: web.Request, _body: bytes) -> Answer:
        party = request[PARTY]
        begin, end = (date.fromisoformat(request.query[name]) for name in ("begin_date", "end_date"))
        if not 0 <= (end - begin).days <= _DAYS_MAX:
            raise WeChatRefusal(400, "PARAM_ERROR", "查询日期跨度不超过30天")
        if request.query.get("complainted_mchid", party.number) != party.number:
            raise WeChatRefusal(403, "NO_AUTH", "无权限查询该商户的投诉")
        found = [
            self._document(dispute)
            for dispute in self._store.disputes.values()
            if dispute.order.data["party"] is party and begin <= dispute.opened_at.astimezone(BEIJING).date() <= end
        ]
        return _page(request, found, 10)

    def query(self, request: web.Request, _body: bytes) -> Answer:
        return 200, self._document(self._find(request))

    def history(self, request: web.Request, _body: bytes) -> Answer:
        return _page(request, self._find(request).data["history"], 100)

    def reply(self, request: web.Request, body: bytes) -> Answer:
        """Take a reply, each time it is sent; the first one moves the complaint on."""
        dispute, content = self._addressed(request, body)
        reply = content["response_content"]
        self._log(dispute, "MERCHANT_RESPONSE", reply, operator="商户")
        dispute.data["unanswered"] = False
        self._store.change_dispute(dispute, "PROCESSING" if dispute.status == "PENDING" else dispute.status)
        self._notify(dispute, "MERCHANT_RESPONSE")
        return 204, None

    def complete(self, request: web.Request, body: bytes) -> Answer:
        """Take the merchant's report that the matter is settled."""
        dispute, _ = self._addressed(request, body)
        if dispute.status == "PROCESSED":
            raise WeChatRefusal(400, "INVALID_REQUEST", "投诉单已处理完成")
        self.move(dispute, "PROCESSED")
        self._notify(dispute, "MERCHANT_CONFIRM_COMPLETE")
        return 204, None

    def register(self, request: web.Request, body: bytes) -> Answer:
        """Keep the address to notify, as with POST the first one and with PUT another."""
        party, url = request[PARTY], read_json(body)["url"]
        if (request.method == "POST") == (party.mchid in self._addresses):
            raise WeChatRefusal(400, "INVALID_REQUEST", "回调地址已存在或不存在")
        self._addresses[party.mchid] = url
        return 200, {"mchid": party.mchid, "url": url}

    def registered(self, request: web.Request, _body: bytes) -> Answer:
        url = self._addresses.get(request[PARTY].mchid)
        if url is None:
            raise WeChatRefusal(404, "RESOURCE_NOT_EXISTS", "回调地址不存在")
        return 200, {"mchid": request[PARTY].mchid, "url": url}

    def _addressed(self, request: web.Request, body: bytes) -> tuple[SandboxDispute, dict[str, Any]]:
        dispute, content = self._find(request), read_json(body)
        if content.get("complainted_mchid") != request[PARTY].number:
            raise WeChatRefusal(400, "PARAM_ERROR", "被诉商户号错误")
        return dispute, content

    def _find(self, request: web.Request) -> SandboxDispute:
        dispute = self._store.disputes.get(request.match_info["number"])
        if dispute is None or dispute.order.data["party"] is not request[PARTY]:
            raise WeChatRefusal(404, "RESOURCE_NOT_EXISTS", "投诉单不存在")
        return dispute

    def _log(self, dispute: SandboxDispute, kind: str, text: str, *, operator: str) -> None:
        history = dispute.data["history"]
        history.append(
            {
                "log_id": f"{dispute.dispute_no}{len(history):04d}",
                "operator": operator,
                "operate_time": format_time(self._store.clock.now()),
                "operate_type": kind,
                "operate_details": text,
                "image_list": [],
            }
        )

    def _document(self, dispute: SandboxDispute) -> dict[str, Any]:
        """Return a complaint as its query and the list show it."""
        order, data = dispute.order, dispute.data
        refunded = sum(
            refund.amount_minor
            for refund in self._store.refunds.values()
            if refund.order is order and refund.state is OutgoingState.SUCCEEDED
        )
        document = {
            "complaint_id": dispute.dispute_no,
            "complaint_time": format_time(dispute.opened_at),
            "complaint_detail": dispute.statement,
            "complaint_state": dispute.status,
            "complainted_mchid": order.data["party"].number,
            "payer_phone": "c2FuZGJveCBwaG9uZQ==",
            "payer_openid": next(iter(order.data["party"].payer(order.content).values())),
            "complaint_order_info": [
                {
                    "transaction_id": order.channel_order_no,
                    "out_trade_no": order.order_no,
                    "amount": order.amount_minor,
                }
            ],
            "complaint_full_refunded": refunded == order.amount_minor,
            "incoming_user_response": data["unanswered"],
            "user_complaint_times": data["times"],
            "problem_description": "商家服务问题",
            "problem_type": dispute.reason,
            "user_tag_list": [],
        }
        return document | ({"apply_refund_amount": dispute.amount_minor} if dispute.reason == "REFUND" else {})


def _page(request: web.Request, items: list[dict[str, Any]], default: int) -> Answer:
    limit, offset = int(request.query.get("limit", default)), int(request.query.get("offset", 0))
    data = items[offset : offset + limit]
    return 200, {"data": data, "limit": limit, "offset": offset, "total_count": len(items)}
