"""Complaints of Alipay's payers, by the two interfaces that Alipay has for them; neither takes money.

About a trade in a mini program payers complain by `alipay.merchant.tradecomplain`, which notifies; about any other by
`alipay.security.risk.complaint` (RiskGO), which does not, but states until when the merchant may answer. The number
tells them apart: that of the second is a long integer, that of the first has 28 digits.

Source:
    https://www.apifox.cn/apidoc/docs-site/3618910/doc-3307376 (course of a trade's complaint, notification).
    https://github.com/alipay/alipay-sdk-java-all (v2, `AlipayMerchantTradecomplain…`, `TradeComplainQueryResponse`,
    `ReplyRecordResponse`, `AlipaySecurityRiskComplaint…`, `ComplaintInfoQueryResponse`: fields, states, pages).
    https://github.com/alipay/alipay-sdk-net-all (v3/docs/AlipayMerchantTradecomplain*Api.md: mini programs; a number;
    the states in which a reply and a supplement are taken).
    https://github.com/easy-swoole/pay (`QueryComplaint`, `ComplaintInfoQueryResponse`: states and results of
    a RiskGO complaint).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Any, Protocol

from hutong.channels.alipay.client import AlipayClient
from hutong.channels.alipay.requests import CURRENCY
from hutong.channels.alipay.responses import AlipayResponses, succeeded, to_instant, to_minor
from hutong.channels.disputes import (
    FINAL_DISPUTE_STATES,
    DisputeReport,
    DisputeResponse,
    DisputeRule,
    DisputeState,
    ResponseAnswer,
    ResponseOutcome,
)
from hutong.channels.errors import NoAnswer
from hutong.channels.model import ChannelState, text
from hutong.clock import BEIJING
from hutong.errors import InvalidParameter

_REMARK_MAX = 200
RULE = DisputeRule(evidence={"remark": _REMARK_MAX, "result": 32}, required=frozenset({"remark"}))

_NUMBER = re.compile(r"[0-9]{1,64}")
_LONG_DIGITS_MAX = 19
_OUR_NUMBER = re.compile(r"[0-9A-Za-z_]{1,64}")
_PAGES_MAX = 500
_NOT_SIGNED = "40006"

_TRADE = "alipay.merchant.tradecomplain"
_TRADE_PAGE = 20
_TRADE_STATES: Mapping[str, DisputeState] = {
    "MERCHANT_PROCESSING": DisputeState.NEEDS_RESPONSE,
    "MERCHANT_FEEDBACKED": DisputeState.UNDER_REVIEW,
    "PLATFORM_PROCESSING": DisputeState.UNDER_REVIEW,
    "PLATFORM_FINISH": DisputeState.LOST,
    "FINISHED": DisputeState.ACCEPTED,
    "CANCELLED": DisputeState.WON,
    "CLOSED": DisputeState.WON,
}
_TRADE_RESULTS = ("02", "03", "04", "05", "06", "194")
"""Refunded, delivered, other, after-sales service done, not the merchant's matter; what is paid later: the result."""

_RISK = "alipay.security.risk.complaint"
_RISK_PAGE = 10
_RISK_STATES: Mapping[str, DisputeState] = {
    "WAIT_PROCESS": DisputeState.NEEDS_RESPONSE,
    "PROCESSING": DisputeState.NEEDS_RESPONSE,
    "OVERDUE": DisputeState.NEEDS_RESPONSE,
    "PART_OVERDUE": DisputeState.NEEDS_RESPONSE,
    "PROCESSED": DisputeState.WON,
    "OVERDUE_PROCESSED": DisputeState.WON,
    "DROP_COMPLAIN": DisputeState.WON,
    "DROP_OVERDUE_COMPLAIN": DisputeState.WON,
    "DROP_PROCESSED": DisputeState.WON,
    "DROP_OVERDUE_PROCESSED": DisputeState.WON,
}
_SETTLED = ("CONSENSUS_WITH_CLIENT", "REFUND")
"""Results by which the merchant has settled with the payer."""
_RISK_RESULTS = (*_SETTLED, "RECTIFICATION_NO_REFUND", "SUBMIT_PROOF_NOT_CONTACTED", "ORTHER")
"""Alipay spells the last one so."""


class _Family(Protocol):
    """Complaints by one of the interfaces.

    Attributes:
        lists_all: Whether a page states all of a complaint; else each is queried, since a page holds no amounts.
    """

    lists_all: bool

    def page(self, day: date, number: int) -> tuple[str, dict[str, Any]]:
        """Return the interface and the content that list a page of a day."""
        ...

    def rows(self, node: Mapping[str, Any]) -> tuple[list[Any], object]:
        """Return the complaints of a page, and how many there are in all."""
        ...

    def number(self, row: Mapping[str, Any]) -> object:
        """Return the number by which a listed complaint is queried."""
        ...

    def query(self, dispute_no: str) -> tuple[str, dict[str, Any]]:
        """Return the interface and the content that query a complaint."""
        ...

    def report(self, node: Mapping[str, Any]) -> DisputeReport | None:
        """Read a complaint; None for one about another seller."""
        ...

    def answer(self, node: Mapping[str, Any], response: DisputeResponse) -> tuple[str, dict[str, Any], bool] | None:
        """Return the interface, the content and whether it goes without `biz_content`; None if it is there already.

        Errors:
            InvalidParameter: the interface does not take this result.
        """
        ...


class AlipayDisputes:
    """The complaints about one merchant's trades."""

    def __init__(self, client: AlipayClient, responses: AlipayResponses, seller_id: str) -> None:
        self._client = client
        self._responses = responses
        self._trade = _TradeComplaints(seller_id)
        self._risk = _RiskComplaints(seller_id)

    async def query(self, dispute_no: str, *, now: datetime) -> DisputeReport | None:
        """Query a complaint; None without a proven answer, and for one about another seller."""
        family = self._family(dispute_no)
        node = None if family is None else await self._node(family, dispute_no, now)
        return None if family is None or node is None else family.report(node)

    async def list_day(self, day: date, *, now: datetime) -> list[DisputeReport] | None:
        """List the complaints of a day in Beijing by both interfaces, as far as the merchant has signed for them."""
        found: dict[str, DisputeReport] = {}
        signed = False
        for family in (self._trade, self._risk):
            try:
                async for row in self._rows(family, day, now):
                    node = row if family.lists_all else await self._node(family, str(family.number(row)), now)
                    if node is None:
                        return None
                    report = family.report(node)
                    if report is not None:
                        found[report.dispute_no] = report
                signed = True
            except _NotSigned:
                continue
            except NoAnswer:
                return None
        return list(found.values()) if signed else None

    async def unsigned(self, *, now: datetime) -> tuple[str, ...] | None:
        """Return the interfaces that the merchant has not signed for; None without a proven answer."""
        names = []
        for name, family in ((_TRADE, self._trade), (_RISK, self._risk)):
            interface, content = family.page(now.astimezone(BEIJING).date(), 1)
            try:
                node = await self._client.call(interface, content, now=now)
            except NoAnswer:
                return None
            if node.get("code") == _NOT_SIGNED:
                names.append(name)
            elif not succeeded(node):
                return None
        return tuple(names)

    async def respond(self, response: DisputeResponse, *, now: datetime) -> ResponseAnswer:
        """Send the merchant's answer; one that the complaint holds already is not sent again.

        Errors:
            InvalidParameter: a text is missing or too long, or the complaint's interface does not take this result.
        """
        _check(response)
        family = self._family(response.dispute_no)
        if family is None:
            raise InvalidParameter("this is not the number of a complaint at Alipay", param="dispute_no")
        node = await self._node(family, response.dispute_no, now)
        report = None if node is None else family.report(node)
        if node is None or report is None:
            return ResponseAnswer(ResponseOutcome.UNKNOWN)
        request = family.answer(node, response)
        if request is None:
            return ResponseAnswer(ResponseOutcome.TAKEN, report=report)
        if report.state in FINAL_DISPUTE_STATES:
            status = text(node.get("status"), 64)
            return ResponseAnswer(ResponseOutcome.REFUSED, channel_code=status, report=report)
        return await self._send(response.dispute_no, *request, now)

    async def _send(
        self, dispute_no: str, interface: str, content: Mapping[str, Any], flat: bool, now: datetime
    ) -> ResponseAnswer:
        try:
            node = await self._client.call(interface, content, now=now, flat=flat)
        except NoAnswer as error:
            answer = error.answer
        else:
            if succeeded(node) and node.get("complaint_process_success", True) in (True, "true"):
                return ResponseAnswer(ResponseOutcome.TAKEN, report=await self.query(dispute_no, now=now))
            answer = self._responses.refusal("complaint", node)
        refused = answer.state is ChannelState.FAILED
        outcome = ResponseOutcome.REFUSED if refused else ResponseOutcome.UNKNOWN
        return ResponseAnswer(outcome, answer.channel_code, answer.channel_message)

    def _family(self, dispute_no: str) -> _Family | None:
        if not _NUMBER.fullmatch(dispute_no):
            return None
        return self._risk if len(dispute_no) <= _LONG_DIGITS_MAX else self._trade

    async def _node(self, family: _Family, dispute_no: str, now: datetime) -> dict[str, Any] | None:
        """Return a complaint as Alipay states it; None without a proven answer about this one."""
        interface, content = family.query(dispute_no)
        try:
            node = await self._client.call(interface, content, now=now)
        except NoAnswer:
            return None
        return node if succeeded(node) and str(family.number(node)) == dispute_no else None

    async def _rows(self, family: _Family, day: date, now: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """Yield a day's complaints, page by page.

        Errors:
            NoAnswer: a page is not proven, or cannot be read.
            _NotSigned: the merchant has not signed for this interface.
        """
        seen = 0
        for page in range(1, _PAGES_MAX + 1):
            interface, content = family.page(day, page)
            node = await self._client.call(interface, content, now=now)
            if node.get("code") == _NOT_SIGNED:
                raise _NotSigned
            if not succeeded(node):
                raise NoAnswer("refused")
            rows, total = family.rows(node)
            for row in rows:
                if not isinstance(row, Mapping) or self._family(str(family.number(row))) is not family:
                    raise NoAnswer("unreadable")
                yield row
            seen += len(rows)
            if not rows or not isinstance(total, int) or seen >= total:
                return
        raise NoAnswer("too_many")


class _NotSigned(Exception):
    """The merchant has not signed for an interface."""


class _TradeComplaints:
    """Complaints about trades in mini programs."""

    lists_all = False

    def __init__(self, seller_id: str) -> None:
        self._seller_id = seller_id

    def page(self, day: date, number: int) -> tuple[str, dict[str, Any]]:
        start, end = _day(day)
        content = {"begin_time": start, "end_time": end, "page_num": number, "page_size": _TRADE_PAGE}
        return f"{_TRADE}.batchquery", content

    def rows(self, node: Mapping[str, Any]) -> tuple[list[Any], object]:
        return _list(node.get("trade_complain_infos")), node.get("total_num")

    def number(self, row: Mapping[str, Any]) -> object:
        return row.get("complain_event_id")

    def query(self, dispute_no: str) -> tuple[str, dict[str, Any]]:
        return f"{_TRADE}.query", {"complain_event_id": dispute_no}

    def report(self, node: Mapping[str, Any]) -> DisputeReport | None:
        if node.get("target_type") == "PID" and node.get("target_id") != self._seller_id:
            return None
        return DisputeReport(
            str(self.number(node)),
            _TRADE_STATES.get(str(node.get("status")), DisputeState.NEEDS_RESPONSE),
            to_minor(node.get("trade_amount")) or 0,
            CURRENCY,
            order_no=_order_no(node.get("merchant_order_no")),
            channel_order_no=text(node.get("trade_no"), 64),
            reason=text(node.get("complain_reason"), 64) or text(node.get("leaf_category_name"), 64),
            statement=text(node.get("content"), 1000),
            opened_at=to_instant(node.get("gmt_create")),
            changed_at=to_instant(node.get("gmt_modified")),
        )

    def answer(self, node: Mapping[str, Any], response: DisputeResponse) -> tuple[str, dict[str, Any], bool] | None:
        """The first answer is the merchant's handling, which goes without `biz_content`, as in Alipay's own SDK.

        Each later one is a message to the payer, or a supplement for Alipay's service once that considers the matter.
        """
        result, remark = _result(response, _TRADE_RESULTS, "05", "04"), response.evidence["remark"]
        replies = [reply for reply in _list(node.get("reply_detail_infos")) if isinstance(reply, Mapping)]
        if any(reply.get("replier_role") == "MERCHANT" and reply.get("content") == remark for reply in replies):
            return None
        event = {"complain_event_id": response.dispute_no}
        if node.get("status") == "MERCHANT_PROCESSING":
            return f"{_TRADE}.feedback.submit", event | {"feedback_code": result, "feedback_content": remark}, True
        if node.get("status") == "PLATFORM_PROCESSING":
            return f"{_TRADE}.supplement.submit", event | {"supplement_content": remark}, False
        return f"{_TRADE}.reply.submit", event | {"reply_content": remark}, False


class _RiskComplaints:
    """Complaints about any other trade."""

    lists_all = True

    def __init__(self, seller_id: str) -> None:
        self._seller_id = seller_id

    def page(self, day: date, number: int) -> tuple[str, dict[str, Any]]:
        start, end = _day(day)
        content = {"gmt_complaint_start": start, "gmt_complaint_end": end}
        return f"{_RISK}.info.batchquery", content | {"current_page_num": number, "page_size": _RISK_PAGE}

    def rows(self, node: Mapping[str, Any]) -> tuple[list[Any], object]:
        return _list(node.get("complaint_list")), node.get("total_size")

    def number(self, row: Mapping[str, Any]) -> object:
        return row.get("id")

    def query(self, dispute_no: str) -> tuple[str, dict[str, Any]]:
        return f"{_RISK}.info.query", {"complain_id": int(dispute_no)}

    def report(self, node: Mapping[str, Any]) -> DisputeReport | None:
        if node.get("opposite_pid") != self._seller_id:
            return None
        state = _RISK_STATES.get(str(node.get("status")), DisputeState.NEEDS_RESPONSE)
        processed = node.get("status") in ("PROCESSED", "OVERDUE_PROCESSED")
        if processed and node.get("process_code") in _SETTLED:
            state = DisputeState.ACCEPTED
        trade_no = text(node.get("trade_no"), 64)
        trades = [trade for trade in _list(node.get("complaint_trade_info_list")) if isinstance(trade, Mapping)]
        trade = next((trade for trade in trades if trade.get("trade_no") == trade_no), {})
        return DisputeReport(
            str(self.number(node)),
            state,
            to_minor(trade.get("amount")) or to_minor(node.get("complain_amount")) or 0,
            CURRENCY,
            order_no=_order_no(trade.get("out_no")),
            channel_order_no=trade_no,
            statement=text(node.get("complain_content"), 1000),
            due_at=to_instant(node.get("gmt_overdue")),
            opened_at=to_instant(node.get("gmt_complain")),
        )

    def answer(self, node: Mapping[str, Any], response: DisputeResponse) -> tuple[str, dict[str, Any], bool] | None:
        """One answer ends the complaint."""
        result, remark = _result(response, _RISK_RESULTS, _SETTLED[0], "ORTHER"), response.evidence["remark"]
        if (node.get("process_code"), node.get("process_remark")) == (result, remark):
            return None
        content = {"id_list": [int(response.dispute_no)], "process_code": result, "remark": remark}
        return f"{_RISK}.process.finish", content, False


def _check(response: DisputeResponse) -> None:
    for name, value in response.evidence.items():
        if name not in RULE.evidence:
            raise InvalidParameter(f"Alipay takes no {name} for a complaint", param=f"evidence.{name}")
        if len(value) > RULE.evidence[name]:
            raise InvalidParameter(f"Alipay takes at most {RULE.evidence[name]} characters", param=f"evidence.{name}")
    if not response.evidence.get("remark", "").strip():
        raise InvalidParameter("Alipay requires a remark for the payer", param="evidence.remark")


def _result(response: DisputeResponse, known: tuple[str, ...], settled: str, other: str) -> str:
    """Return Alipay's code of the merchant's result: the given one, or that of having settled, or of anything else."""
    result = response.evidence.get("result") or (settled if response.accepts else other)
    if result not in known:
        raise InvalidParameter(f"this complaint takes as result one of {', '.join(known)}", param="evidence.result")
    return result


def _day(day: date) -> tuple[str, str]:
    """Return the begin and the end of a day in Beijing, as Alipay writes them."""
    return f"{day:%Y-%m-%d} 00:00:00", f"{day:%Y-%m-%d} 23:59:59"


def _order_no(value: object) -> str | None:
    return value if isinstance(value, str) and _OUR_NUMBER.fullmatch(value) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
