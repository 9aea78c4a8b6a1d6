"""Complaints at the Alipay simulator: about trades in mini programs, which notify, and about all others (RiskGO).

Source:
    https://www.apifox.cn/apidoc/docs-site/3618910/doc-3307376 (course and message of a trade's complaint),
    https://github.com/alipay/alipay-sdk-java-all (v2: fields), https://github.com/easy-swoole/pay (`QueryComplaint`,
    `ComplaintInfoQueryResponse`: states and results of a RiskGO complaint).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson

from hutong.clock import BEIJING, to_ns
from hutong.money import to_major
from hutong.sandbox.alipay.keys import APP_ID, SELLER_ID
from hutong.sandbox.alipay.orders import JSAPI, AnswerNode, beijing
from hutong.sandbox.alipay.validation import AlipayRefusal
from hutong.sandbox.records import SandboxDispute, SandboxOrder
from hutong.sandbox.store import Store

Work = Callable[[dict[str, Any], dict[str, str]], AnswerNode]

_TRADE = "alipay.merchant.tradecomplain"
_RISK = "alipay.security.risk.complaint"
_RISK_DUE = timedelta(days=3)
_TRADE_MOVES = {"CANCELLED", "FINISHED", "CLOSED", "PLATFORM_PROCESSING", "PLATFORM_FINISH"}
"""What the payer and Alipay's service bring a trade's complaint to."""
_OPEN = {"MERCHANT_PROCESSING", "MERCHANT_FEEDBACKED", "PLATFORM_PROCESSING", "WAIT_PROCESS", "OVERDUE"}


class AlipayComplaints:
    """The complaints about the merchant's trades."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.interfaces: dict[str, tuple[str, Work]] = {
            f"{_TRADE}.query": ("query_dispute", self._query_trade),
            f"{_TRADE}.batchquery": ("list_disputes", self._list_trade),
            f"{_TRADE}.feedback.submit": ("respond_to_dispute", self._feedback),
            f"{_TRADE}.reply.submit": ("respond_to_dispute", self._reply),
            f"{_TRADE}.supplement.submit": ("respond_to_dispute", self._supplement),
            f"{_RISK}.info.query": ("query_dispute", self._query_risk),
            f"{_RISK}.info.batchquery": ("list_disputes", self._list_risk),
            f"{_RISK}.process.finish": ("respond_to_dispute", self._finish),
        }

    def open(
        self, order: SandboxOrder, amount_minor: int, *, reason: str | None, statement: str
    ) -> SandboxDispute | None:
        """Open a complaint: about a trade in a mini program by one interface, about any other by the other one."""
        if order.paid_at is None or amount_minor > order.captured_minor:
            return None
        now, is_trade = self._store.clock.now(), order.method == JSAPI
        serial = to_ns(now) // 1000 + len(self._store.disputes)
        number = f"{now:%Y%m%d}00102{serial % 10**15:015d}" if is_trade else str(serial)
        dispute = SandboxDispute(
            dispute_no=number,
            order=order,
            amount_minor=amount_minor,
            reason=reason or ("未收到货" if is_trade else ""),
            status="MERCHANT_PROCESSING" if is_trade else "WAIT_PROCESS",
            opened_at=now,
            statement=statement,
            data={"trade": is_trade, "replies": []},
            notify_url=order.notify_url if is_trade else "",
        )
        self._store.open_dispute(dispute)
        return dispute

    def move(self, dispute: SandboxDispute, status: str) -> bool:
        """Bring a complaint to a status; one of RiskGO the payer withdraws, before and after the merchant's answer."""
        if dispute.data["trade"]:
            can = dispute.status in _OPEN and status in _TRADE_MOVES
        else:
            current = self._status(dispute)
            can = status == {"WAIT_PROCESS": "DROP_COMPLAIN", "OVERDUE": "DROP_OVERDUE_COMPLAIN"}.get(
                current, f"DROP_{current}"
            )
        if can:
            self._store.change_dispute(dispute, status)
        return can

    def message(self, dispute: SandboxDispute) -> dict[str, str]:
        """Return the parameters of the message about a trade's complaint, unsigned; it states the number alone."""
        return {
            "msg_method": f"{_TRADE}.changed",
            "notify_id": secrets.token_hex(16),
            "utc_timestamp": str(to_ns(self._store.clock.now()) // 1_000_000),
            "app_id": dispute.order.data["app_id"],
            "version": "1.1",
            "charset": "GBK",
            "biz_content": orjson.dumps({"complain_event_id": dispute.dispute_no}).decode(),
        }

    # Complaints about trades in mini programs.

    def _query_trade(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        dispute = self._find(content.get("complain_event_id"), is_trade=True)
        amount = {"trade_amount": to_major(dispute.amount_minor, dispute.currency)}
        return _ok(**self._trade(dispute), **amount, reply_detail_infos=dispute.data["replies"])

    def _list_trade(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        found = self._of_day(content, "begin_time", "end_time", is_trade=True)
        page, size = _pages(content, "page_num")
        rows = [self._trade(dispute) for dispute in found[(page - 1) * size : page * size]]
        return _ok(page_num=page, page_size=size, total_num=len(found), trade_complain_infos=rows)

    def _feedback(self, _content: dict[str, Any], parameters: dict[str, str]) -> AnswerNode:
        dispute = self._find(parameters.get("complain_event_id"), is_trade=True)
        if dispute.status != "MERCHANT_PROCESSING":
            raise AlipayRefusal("40004", "COMPLAIN_STATUS_ERROR", "投诉单状态不合法")
        self._add_reply(dispute, parameters["feedback_content"])
        self._store.change_dispute(dispute, "MERCHANT_FEEDBACKED")
        return _ok()

    def _reply(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        return self._add(content, "reply_content", {"MERCHANT_PROCESSING", "MERCHANT_FEEDBACKED"})

    def _supplement(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        return self._add(content, "supplement_content", {"PLATFORM_PROCESSING"})

    def _add(self, content: dict[str, Any], name: str, statuses: set[str]) -> AnswerNode:
        """Take a message of the merchant's, which is in `biz_content`, in one of these statuses."""
        dispute = self._find(content.get("complain_event_id"), is_trade=True)
        if dispute.status not in statuses:
            raise AlipayRefusal("40004", "COMPLAIN_STATUS_ERROR", "投诉单状态不合法")
        self._add_reply(dispute, content[name])
        self._store.change_dispute(dispute, dispute.status)
        return _ok()

    def _add_reply(self, dispute: SandboxDispute, text: str) -> None:
        reply = {"replier_role": "MERCHANT", "content": text, "gmt_create": beijing(self._store.clock.now())}
        dispute.data["replies"].append(reply)

    def _trade(self, dispute: SandboxDispute) -> dict[str, Any]:
        order = dispute.order
        fields = {
            "complain_event_id": dispute.dispute_no,
            "status": dispute.status,
            "trade_no": order.channel_order_no,
            "merchant_order_no": order.order_no,
            "gmt_create": beijing(dispute.opened_at),
            "gmt_modified": beijing(dispute.changed_at or dispute.opened_at),
            "leaf_category_name": "退款",
            "complain_reason": dispute.reason,
            "content": dispute.statement,
            "target_id": order.content.get("op_app_id", APP_ID),
            "target_type": "APPID",
        }
        ended = {"gmt_finished": fields["gmt_modified"]} if dispute.status not in _OPEN else {}
        return fields | ended

    # Complaints about other trades.

    def _query_risk(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        return _ok(**self._risk(self._find(content.get("complain_id"), is_trade=False)))

    def _list_risk(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        found = self._of_day(content, "gmt_complaint_start", "gmt_complaint_end", is_trade=False)
        page, size = _pages(content, "current_page_num")
        rows = [self._risk(dispute) for dispute in found[(page - 1) * size : page * size]]
        return _ok(current_page=page, page_size=size, total_size=len(found), complaint_list=rows)

    def _finish(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        numbers, result, remark = content["id_list"], content["process_code"], content.get("remark", "")
        dispute = self._find(numbers[0], is_trade=False)
        if dispute.status not in _OPEN:
            raise AlipayRefusal("40004", "COMPLAINT_STATUS_ERROR", "投诉单状态不合法")
        dispute.data |= {"result": result, "remark": remark, "at": self._store.clock.now()}
        status = "OVERDUE_PROCESSED" if self._status(dispute) == "OVERDUE" else "PROCESSED"
        self._store.change_dispute(dispute, status)
        return _ok(complaint_process_success=True)

    def _status(self, dispute: SandboxDispute) -> str:
        is_late = self._store.clock.now() > dispute.opened_at + _RISK_DUE
        return "OVERDUE" if is_late and dispute.status == "WAIT_PROCESS" else dispute.status

    def _risk(self, dispute: SandboxDispute) -> dict[str, Any]:
        order, data = dispute.order, dispute.data
        trade = {
            "trade_no": order.channel_order_no,
            "out_no": order.order_no,
            "amount": to_major(dispute.amount_minor, dispute.currency),
            "status": self._status(dispute),
        }
        fields = {
            "id": int(dispute.dispute_no),
            "task_id": dispute.dispute_no[-11:],
            "opposite_pid": SELLER_ID,
            "opposite_name": "某商户有限公司",
            "complain_amount": trade["amount"],
            "gmt_complain": beijing(dispute.opened_at),
            "gmt_overdue": beijing(dispute.opened_at + _RISK_DUE),
            "complain_content": dispute.statement,
            "trade_no": order.channel_order_no,
            "status": trade["status"],
            "complaint_trade_info_list": [trade],
        }
        if "result" in data:
            answer = {"process_code": data["result"], "process_remark": data["remark"]}
            fields |= answer | {"gmt_process": beijing(data["at"])}
        return fields

    # Both.

    def _find(self, number: object, *, is_trade: bool) -> SandboxDispute:
        dispute = self._store.disputes.get(str(number))
        if dispute is None or dispute.data["trade"] is not is_trade:
            raise AlipayRefusal("40004", "COMPLAIN_NOT_EXIST", "投诉单不存在")
        return dispute

    def _of_day(self, content: dict[str, Any], begin: str, end: str, *, is_trade: bool) -> list[SandboxDispute]:
        start, stop = (datetime.fromisoformat(content[name]).replace(tzinfo=BEIJING) for name in (begin, end))
        disputes = [dispute for dispute in self._store.disputes.values() if dispute.data["trade"] is is_trade]
        return [dispute for dispute in disputes if start <= dispute.opened_at.replace(microsecond=0) <= stop]


def _pages(content: dict[str, Any], name: str) -> tuple[int, int]:
    return content.get(name, 1), content.get("page_size", 10)


def _ok(**fields: Any) -> AnswerNode:
    node = {"code": "10000", "msg": "Success", **fields}
    return lambda _kind: node
