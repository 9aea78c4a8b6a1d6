"""WeChat Pay's complaints (消费者投诉 2.0): queried, listed, replied to, and reported as settled.

A complaint takes no money. A reply moves it from PENDING to PROCESSING, the merchant's report that it is settled to
PROCESSED. A payer who is not content continues it, which makes it PENDING again. WeChat shows the payer each reply that
it gets, so the history of a complaint is read before one is sent.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012533431 (list), 4012467254 (reply);
    https://pay.weixin.qq.com/docs/merchant/apis/consumer-complaint/complaints/query-complaint-v2.html (query);
    https://pay.weixin.qq.com/wiki/doc/apiv3/apis/chapter10_2_15.shtml (settled);
    https://pay.weixin.qq.com/wiki/doc/apiv3/download/交易投诉运营规范2.0.pdf (until when to answer);
    github.com/minibear2021/wechatpayv3, complaint.py (pages, history).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

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
from hutong.channels.free_text import FreeText
from hutong.channels.model import ChannelState, text
from hutong.channels.wechat.client import WeChatClient
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.channels.wechat.responses import WeChatResponses, amount_of, instant
from hutong.clock import BEIJING
from hutong.errors import InvalidParameter

_PATH = "/v3/merchant-service/complaints-v2"
_REPLY = "response"
_REPLY_MAX = 500
RULE = DisputeRule(evidence={_REPLY: _REPLY_MAX}, required=frozenset({_REPLY}))

_NUMBER = re.compile(r"[0-9A-Za-z_-]{1,64}")
_STATEMENT_MAX = 1000
_TEXT = FreeText(_REPLY_MAX, basic_only=True)
_PAGE, _HISTORY_PAGE, _PAGES_MAX = 50, 300, 200
_PAYER_ACTS = frozenset({"USER_RESPONSE", "USER_CONTINUE_COMPLAINT"})
_DAYS = {"PENDING": 1, "PROCESSING": 3}
"""Until the end of which day after the complaint's own the merchant has to reply, and to have settled the matter."""

_Item = Mapping[str, Any]


class WeChatDisputes:
    """The complaints against one merchant."""

    def __init__(self, client: WeChatClient, responses: WeChatResponses, merchant: WeChatMerchant) -> None:
        self._client = client
        self._responses = responses
        self._merchant = merchant

    async def query(self, dispute_no: str, *, now: datetime) -> DisputeReport | None:
        """Query a complaint, also one against another merchant under the same service provider.

        WeChat notifies one address of a service provider's complaints; the order of another's is none of the account's.
        """
        _check_number(dispute_no)
        found = await self._client.ask(f"{_PATH}/{dispute_no}", now)
        if found is None or found[0].get("complaint_id") != dispute_no:
            return None
        return _report(*found)

    async def list_day(self, day: date, *, now: datetime) -> list[DisputeReport] | None:
        """List the complaints of a day in Beijing, each once."""
        target = f"{_PATH}?begin_date={day}&end_date={day}&complainted_mchid={self._merchant.number}"
        pages = await self._pages(target, _PAGE, now)
        if pages is None:
            return None
        ours = self._merchant.number
        reports = [_report(*page) for page in pages if page[0].get("complainted_mchid", ours) == ours]
        return list({report.dispute_no: report for report in reports if report is not None}.values())

    async def _pages(self, target: str, size: int, now: datetime) -> list[tuple[_Item, datetime]] | None:
        """Return the items of all pages; None if one of them is not proven, or they do not end."""
        items: list[tuple[_Item, datetime]] = []
        for _ in range(_PAGES_MAX):
            join = "&" if "?" in target else "?"
            found = await self._client.ask(f"{target}{join}limit={size}&offset={len(items)}", now)
            if found is None:
                return None
            content, stated_at = found
            page, total = content.get("data", []), content.get("total_count")
            page = [] if page is None else page
            if not isinstance(page, list) or type(total) is not int or not all(isinstance(item, dict) for item in page):
                return None
            items += [(item, stated_at) for item in page]
            if not page or len(items) >= total:
                return items
        return None

    async def respond(self, response: DisputeResponse, *, now: datetime) -> ResponseAnswer:
        """Send the reply, unless the history has it, and then report the matter as settled if the response says so."""
        _check_number(response.dispute_no)
        reply = _reply(response)
        try:
            if reply and not await self._has(response.dispute_no, reply, now):
                content = {"complainted_mchid": self._merchant.number, "response_content": reply}
                refusal = await self._send(response.dispute_no, "response", content, now)
                if refusal is not None:
                    return refusal
            if response.accepts:
                return await self._settle(response.dispute_no, now)
        except NoAnswer as error:
            return _unknown(error.answer.channel_code, error.answer.channel_message)
        return ResponseAnswer(ResponseOutcome.TAKEN, report=await self.query(response.dispute_no, now=now))

    async def _has(self, dispute_no: str, reply: str, now: datetime) -> bool:
        """Return whether this reply is the merchant's since the payer last wrote.

        Errors:
            NoAnswer: the history is not proven.
        """
        history = await self._pages(f"{_PATH}/{dispute_no}/negotiation-historys", _HISTORY_PAGE, now)
        if history is None:
            raise NoAnswer("no_answer", "the history of the complaint could not be read")
        entries = [entry for entry, _ in history]
        sent = [at for entry in entries if (at := _replied_at(entry, reply)) is not None]
        written = [at for entry in entries if (at := _payer_acted_at(entry)) is not None]
        return bool(sent) and (not written or max(sent) >= max(written))

    async def _settle(self, dispute_no: str, now: datetime) -> ResponseAnswer:
        """Report a complaint as settled. WeChat refuses what is settled already, which a query tells."""
        refusal = await self._send(dispute_no, "complete", {"complainted_mchid": self._merchant.number}, now)
        report = await self.query(dispute_no, now=now)
        if refusal is None or (report is not None and report.state in FINAL_DISPUTE_STATES):
            return ResponseAnswer(ResponseOutcome.TAKEN, report=report)
        return refusal

    async def _send(self, dispute_no: str, verb: str, content: _Item, now: datetime) -> ResponseAnswer | None:
        """Return WeChat's refusal; None if it has taken the content."""
        status, answer = await self._client.call("POST", f"{_PATH}/{dispute_no}/{verb}", now, content)
        if status in (200, 204):
            return None
        refused = self._responses.refusal("dispute", status, answer)
        if refused.state is not ChannelState.FAILED:
            return _unknown(refused.channel_code, refused.channel_message)
        return ResponseAnswer(ResponseOutcome.REFUSED, refused.channel_code, refused.channel_message)


def _check_number(dispute_no: str) -> None:
    if not _NUMBER.fullmatch(dispute_no):
        raise InvalidParameter("`dispute_no` is no number of a complaint at WeChat Pay", param="dispute_no")


def _reply(response: DisputeResponse) -> str:
    """Return the reply as WeChat takes it; empty if there is none, which only a settled matter does without."""
    unknown = sorted(response.evidence.keys() - RULE.evidence.keys())
    if unknown:
        raise InvalidParameter(f"`{unknown[0]}` is not what WeChat Pay takes", param=f"evidence.{unknown[0]}")
    given = response.evidence.get(_REPLY, "")
    if len(given) > _REPLY_MAX:
        raise InvalidParameter(f"`{_REPLY}` has more than {_REPLY_MAX} characters", param=f"evidence.{_REPLY}")
    reply = _TEXT.fit(given)
    if not reply and not response.accepts:
        raise InvalidParameter(f"`{_REPLY}` is what the payer is answered, and is required", param=f"evidence.{_REPLY}")
    return reply


def _report(content: _Item, stated_at: datetime) -> DisputeReport | None:
    """Return what a complaint states; None if it is unreadable."""
    number, opened_at = text(content.get("complaint_id"), 64), instant(content.get("complaint_time"))
    if number is None or not _NUMBER.fullmatch(number):
        return None
    orders = content.get("complaint_order_info")
    order = orders[0] if isinstance(orders, list) and orders and isinstance(orders[0], dict) else {}
    ordered, applied = amount_of(order.get("amount")) or 0, amount_of(content.get("apply_refund_amount"))
    return DisputeReport(
        number,
        _state(content),
        min(applied or ordered, ordered),
        "CNY",
        order_no=text(order.get("out_trade_no"), 64),
        channel_order_no=text(order.get("transaction_id"), 64),
        reason=text(content.get("problem_type"), 64),
        statement=text(content.get("complaint_detail"), _STATEMENT_MAX),
        due_at=_due(content, opened_at),
        opened_at=opened_at,
        changed_at=stated_at,
    )


def _state(content: _Item) -> DisputeState:
    """Return the state. One that WeChat does not document is for the merchant to look at."""
    state = content.get("complaint_state")
    if state == "PROCESSED":
        return DisputeState.ACCEPTED
    if state == "PROCESSING" and content.get("incoming_user_response") is not True:
        return DisputeState.UNDER_REVIEW
    return DisputeState.NEEDS_RESPONSE


def _due(content: _Item, opened_at: datetime | None) -> datetime | None:
    """Return when the published time ends; None where none is published: settled, or continued by the payer."""
    days = _DAYS.get(str(content.get("complaint_state")))
    if days is None or opened_at is None or content.get("user_complaint_times", 1) != 1:
        return None
    day = opened_at.astimezone(BEIJING).date()
    return datetime.combine(day + timedelta(days=days + 1), time(), BEIJING).astimezone(UTC)


def _replied_at(entry: _Item, reply: str) -> datetime | None:
    same = entry.get("operate_type") == "MERCHANT_RESPONSE" and entry.get("operate_details") == reply
    return instant(entry.get("operate_time")) if same else None


def _payer_acted_at(entry: _Item) -> datetime | None:
    return instant(entry.get("operate_time")) if entry.get("operate_type") in _PAYER_ACTS else None


def _unknown(code: str | None, message: str | None) -> ResponseAnswer:
    return ResponseAnswer(ResponseOutcome.UNKNOWN, code, message)
