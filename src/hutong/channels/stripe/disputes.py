"""Stripe's disputes: chargebacks, which take the money first, and inquiries, which take none.

A Dispute holds the movements of the balance that it caused, so what is taken and what it costs are sums over these.
It carries no number of ours: events name its PaymentIntent, and queries expand its charge, to which Stripe copies the
intent's metadata.

Stripe has one status, `lost`, for a dispute that the bank decided and for one that the merchant closed. Before we
close one, the number of our response is written to its metadata, and such a dispute is ACCEPTED. One that a person
closed in the dashboard is LOST.

Source:
    https://docs.stripe.com/api/disputes, https://docs.stripe.com/disputes/api,
    https://docs.stripe.com/disputes/how-disputes-work.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from hutong.channels.disputes import (
    DisputeReport,
    DisputeResponse,
    DisputeRule,
    DisputeState,
    ResponseAnswer,
    ResponseOutcome,
)
from hutong.channels.errors import NoAnswer
from hutong.channels.model import text
from hutong.channels.stripe.client import StripeClient, StripeReply
from hutong.channels.stripe.requests import check_number
from hutong.channels.stripe.responses import (
    StripeResponses,
    is_id,
    metadata,
    to_amount,
    to_currency,
    to_instant,
    to_minor,
)
from hutong.errors import InvalidParameter

DISPUTE_IDS = ("du_", "dp_")
"""How the ids of disputes begin; older ones with the second."""

_LONG, _SHORT, _ALL = 20_000, 5_000, 150_000
RULE = DisputeRule(
    evidence={
        "access_activity_log": _LONG,
        "billing_address": _SHORT,
        "cancellation_policy_disclosure": _LONG,
        "cancellation_rebuttal": _LONG,
        "customer_email_address": _SHORT,
        "customer_name": _SHORT,
        "customer_purchase_ip": _SHORT,
        "duplicate_charge_explanation": _LONG,
        "duplicate_charge_id": _SHORT,
        "product_description": _LONG,
        "refund_policy_disclosure": _LONG,
        "refund_refusal_explanation": _LONG,
        "service_date": _SHORT,
        "shipping_address": _SHORT,
        "shipping_carrier": _SHORT,
        "shipping_date": _SHORT,
        "shipping_tracking_number": _SHORT,
        "uncategorized_text": _LONG,
    },
    answers=1,
)
"""Stripe's evidence in text. Evidence in files is sent in Stripe's dashboard."""

_STATES = {
    "warning_needs_response": DisputeState.NEEDS_RESPONSE,
    "warning_under_review": DisputeState.UNDER_REVIEW,
    "warning_closed": DisputeState.WON,  # an inquiry that became no chargeback
    "needs_response": DisputeState.NEEDS_RESPONSE,
    "under_review": DisputeState.UNDER_REVIEW,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
    "prevented": DisputeState.ACCEPTED,  # a refund, agreed on beforehand, has settled it
}
_ORDER = {status: place for place, status in enumerate(_STATES)}
_ACCEPTED, _ANSWERED = "accepted_by", "answered_by"
"""The metadata that hold the number of our response."""
_REFUSED = frozenset({400, 402, 404})
"""Statuses with which Stripe states that it will not take a response. A key that is not permitted may be by and by."""
_EXPAND = {"expand[]": "charge"}
_EXPAND_LIST = {"expand[]": "data.charge"}
_PAGE, _PAGES_MAX = 20, 500


def read_dispute(responses: StripeResponses, dispute: Mapping[str, Any], *, at: datetime | None) -> DisputeReport:
    """Read a Dispute.

    Args:
        at: When Stripe stated it. Events name whole seconds, and several fall into one: within a second, the statement
            with the later status, or with more movements of money, is the later one.

    Errors:
        NoAnswer: it is not a Dispute, of the other account mode, or its status or amounts cannot be read.
    """
    dispute_no = responses.identify(dispute, "dispute", DISPUTE_IDS)
    amount, currency = to_amount(dispute.get("amount"), dispute.get("currency")), to_currency(dispute.get("currency"))
    status = text(dispute.get("status"), 64) or ""
    if amount is None or currency is None or status not in _STATES:
        raise NoAnswer("unreadable", "a dispute without an amount, a currency or a known status")
    state = _STATES[status]
    if state is DisputeState.LOST and metadata(dispute, _ACCEPTED):
        state = DisputeState.ACCEPTED
    movements = _movements(dispute)
    taken, fee = _sums(movements, amount, currency)
    details, charge = dispute.get("evidence_details"), dispute.get("charge")
    rank = timedelta(microseconds=_ORDER[status] * 100 + min(len(movements), 99))
    return DisputeReport(
        dispute_no,
        state,
        amount,
        currency,
        order_no=metadata(charge, "attempt_no") if isinstance(charge, dict) else None,
        channel_order_no=_intent_id(dispute),
        taken_minor=taken,
        fee_minor=fee,
        reason=text(dispute.get("reason"), 64),
        due_at=to_instant(details.get("due_by")) if isinstance(details, dict) else None,
        opened_at=to_instant(dispute.get("created")),
        changed_at=None if at is None else at.replace(microsecond=0) + rank,
    )


def _intent_id(dispute: Mapping[str, Any]) -> str | None:
    intent = dispute.get("payment_intent")
    value = intent.get("id") if isinstance(intent, dict) else intent
    return str(value) if is_id(value, "pi_") else None


def _movements(dispute: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = dispute.get("balance_transactions")
    movements = listed if isinstance(listed, list) else []
    numbers = [entry.get(name) for entry in movements if isinstance(entry, dict) for name in ("amount", "fee")]
    if not isinstance(listed, list) or len(numbers) != 2 * len(movements) or any(type(n) is not int for n in numbers):
        raise NoAnswer("unreadable", "a dispute without its movements of money")
    return movements


def _sums(movements: list[Mapping[str, Any]], amount_minor: int, currency: str) -> tuple[int, int]:
    """Return what is taken and the fee, both less what was given back.

    An account that settles in another currency is charged in that: of the payer's currency then the whole is taken,
    or nothing, and the fee stands in the bill alone.

    Errors:
        NoAnswer: more was given back than taken.
    """
    taken: int | None
    fee: int | None
    if all(to_currency(entry.get("currency")) == currency for entry in movements):
        taken = to_minor(-sum(entry["amount"] for entry in movements), currency.lower())
        fee = to_minor(sum(entry["fee"] for entry in movements), currency.lower())
    else:
        withdrawn = sum((entry["amount"] < 0) - (entry["amount"] > 0) for entry in movements)
        taken, fee = withdrawn * amount_minor, 0
    if taken is None or fee is None or taken < 0 or fee < 0:
        raise NoAnswer("unreadable", "a dispute that has given back more than it has taken")
    return taken, fee


def _stated_at(reply: StripeReply) -> datetime | None:
    """Return the time of an answer by Stripe's clock; a Dispute does not say when it changed."""
    try:
        return parsedate_to_datetime(reply.headers.get("date", "")).astimezone(UTC)
    except ValueError:
        return None


class StripeDisputes:
    """The disputes of one account."""

    def __init__(self, client: StripeClient, responses: StripeResponses) -> None:
        self._client = client
        self._responses = responses

    async def query(self, dispute_no: str) -> DisputeReport | None:
        """Query a dispute with its charge."""
        try:
            return self._read(await self._get(dispute_no))
        except NoAnswer:
            return None

    async def list_day(self, day: date) -> list[DisputeReport] | None:
        """List the disputes that were created on a day in UTC, page by page."""
        start = int(datetime.combine(day, time(), UTC).timestamp())
        filters = {"created[gte]": str(start), "created[lt]": str(start + 86_400), "limit": str(_PAGE), **_EXPAND_LIST}
        reports: list[DisputeReport] = []
        try:
            for _ in range(_PAGES_MAX):
                reply = await self._client.get("/v1/disputes", filters)
                data = reply.content.get("data")
                if not reply.ok or not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
                    return None
                at = _stated_at(reply)
                reports += [read_dispute(self._responses, entry, at=at) for entry in data]
                if reply.content.get("has_more") is not True:
                    return reports
                if not data:
                    return None
                filters = filters | {"starting_after": reports[-1].dispute_no}
        except NoAnswer:
            return None
        return None

    async def respond(self, response: DisputeResponse) -> ResponseAnswer:
        """Submit evidence, or close the dispute.

        Repeat:
            The dispute keeps the number of the response, so that it is submitted once, however old the first time is.

        Errors:
            InvalidParameter: Stripe has no such evidence, or not of this length; nothing was sent.
        """
        _check(response)
        try:
            reply = await self._get(response.dispute_no)
            if reply.ok and not self._has_taken(reply, response):
                reply = await (self._close(response) if response.accepts else self._submit(response))
                if reply.replayed or reply.status == 400:  # what it refuses may be what it has taken before
                    current = await self._get(response.dispute_no)
                    reply = current if self._has_taken(current, response) else reply
            return self._answer(reply, response)
        except NoAnswer as error:
            answer = error.answer
            return ResponseAnswer(ResponseOutcome.UNKNOWN, answer.channel_code, answer.channel_message)

    def _answer(self, reply: StripeReply, response: DisputeResponse) -> ResponseAnswer:
        if self._has_taken(reply, response):
            return ResponseAnswer(ResponseOutcome.TAKEN, text(reply.content.get("status"), 64), None, self._read(reply))
        error = reply.error
        code = text(error.get("code"), 64) or text(error.get("type"), 64) or f"http_{reply.status}"
        outcome = ResponseOutcome.REFUSED if reply.status in _REFUSED and error else ResponseOutcome.UNKNOWN
        return ResponseAnswer(outcome, code, text(error.get("message"), 256))

    def _has_taken(self, reply: StripeReply, response: DisputeResponse) -> bool:
        """Return whether an answer states a dispute that has taken this very response."""
        if not reply.ok or reply.replayed:
            return False
        if response.accepts:
            is_ours = metadata(reply.content, _ACCEPTED) == response.response_no
            return is_ours and self._read(reply).state is DisputeState.ACCEPTED
        return metadata(reply.content, _ANSWERED) == response.response_no

    async def _submit(self, response: DisputeResponse) -> StripeReply:
        fields = {f"evidence[{name}]": value for name, value in response.evidence.items()}
        numbers = {f"metadata[{_ANSWERED}]": response.response_no, f"metadata[{_ACCEPTED}]": ""}
        fields |= {"submit": "true", **numbers, **_EXPAND}
        return await self._client.post(f"/v1/disputes/{response.dispute_no}", fields, key=response.response_no)

    async def _close(self, response: DisputeResponse) -> StripeReply:
        path, number = f"/v1/disputes/{response.dispute_no}", response.response_no
        fields = {"submit": "false", f"metadata[{_ACCEPTED}]": number, **_EXPAND}
        marked = await self._client.post(path, fields, key=f"{number}-accept")
        if not marked.ok:
            return marked
        return await self._client.post(f"{path}/close", _EXPAND, key=f"{number}-close")

    async def _get(self, dispute_no: str) -> StripeReply:
        if not is_id(dispute_no, *DISPUTE_IDS):
            raise InvalidParameter("Stripe has no dispute of this number", param="dispute_no")
        return await self._client.get(f"/v1/disputes/{dispute_no}", _EXPAND)

    def _read(self, reply: StripeReply) -> DisputeReport:
        if not reply.ok:
            raise NoAnswer("unreadable", "the answer is not a dispute")
        return read_dispute(self._responses, reply.content, at=_stated_at(reply))


def _check(response: DisputeResponse) -> None:
    """Check that Stripe could take a response.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    check_number(response.response_no, "response_no")
    if response.accepts:
        if response.evidence:
            raise InvalidParameter("a dispute that is given up takes no evidence", param="evidence")
        return
    if not response.evidence:
        raise InvalidParameter("an answer to a dispute needs evidence", param="evidence")
    for name, value in response.evidence.items():
        if not 0 < len(value) <= RULE.evidence.get(name, 0):
            raise InvalidParameter(f"Stripe takes no evidence {name!r} of this length", param="evidence")
    if sum(map(len, response.evidence.values())) > _ALL:
        raise InvalidParameter(f"the evidence is longer than {_ALL} characters together", param="evidence")
