"""Stripe's balance transactions of a day, as a bill.

Stripe has no file of them; it lists them, newest first. They are written unchanged, one JSON object per line, and a
last line of ours holds their number and their sums, so that a file that was cut or changed is refused. One that lacks
its amounts, or does not add up, is one exception.

Source:
    https://docs.stripe.com/api/balance_transactions/list, https://docs.stripe.com/reports/balance-transaction-types.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import orjson

from hutong.channels.bill import (
    Bill,
    BillRow,
    BillRowKind,
    BillState,
    bounded,
    exception_row,
    row_sums,
)
from hutong.channels.errors import BillRefused, NoAnswer
from hutong.channels.model import ChannelState, text
from hutong.channels.stripe.client import StripeClient
from hutong.channels.stripe.responses import StripeResponses, is_id, metadata, to_currency, to_instant, to_minor
from hutong.errors import InvalidParameter

KIND = "balance"
_PAGE = 50
_LINE_MAX = 1 << 18
_FILE_MAX = 4 << 30
_ABOUT_REFUND = frozenset({BillRowKind.REFUND, BillRowKind.REFUND_FAILURE})
_KINDS = {
    "charge": BillRowKind.PAYMENT,
    "payment": BillRowKind.PAYMENT,
    "refund": BillRowKind.REFUND,
    "payment_refund": BillRowKind.REFUND,
    "payout": BillRowKind.PAYOUT,
    "refund_failure": BillRowKind.REFUND_FAILURE,
    "stripe_fee": BillRowKind.FEE,
    "stripe_fx_fee": BillRowKind.FEE,
    "tax_fee": BillRowKind.FEE,
}


class BalanceTotals:
    """The totals of the lines of a file."""

    def __init__(self) -> None:
        self.count = 0
        self.net: dict[str, int] = {}

    def add(self, entry: Mapping[str, Any]) -> None:
        self.count += 1
        net, currency = entry.get("net"), entry.get("currency")
        if type(net) is int and isinstance(currency, str):
            self.net[currency] = self.net.get(currency, 0) + net

    def line(self) -> bytes:
        totals = {"object": "totals", "count": self.count, "net": dict(sorted(self.net.items()))}
        return orjson.dumps(totals) + b"\n"


async def download_bill(
    client: StripeClient, responses: StripeResponses, kind: str, day: date, folder: Path, *, now: datetime
) -> Bill:
    """Fetch a UTC day into a folder; an incomplete file is not left behind."""
    if kind != KIND:
        raise InvalidParameter("Stripe has no bill of this kind", param="kind")
    start = datetime.combine(day, time(), UTC)
    if now < start + timedelta(days=1):
        return Bill(BillState.NOT_READY, kind, day)
    path = folder / f"stripe-{kind}-{day.isoformat()}.jsonl"
    partial = path.with_suffix(".partial")
    totals = BalanceTotals()
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            async for entry in _entries(client, responses, start):
                _check_day(entry, start)
                totals.add(entry)
                file.write(orjson.dumps(entry) + b"\n")
                if file.tell() > _FILE_MAX:
                    raise BillRefused("the bill is longer than the limit")
            file.write(totals.line())
        os.replace(partial, path)
    except _ListRefused as error:
        return Bill(error.state, kind, day, channel_code=error.code, channel_message=error.message)
    except (NoAnswer, BillRefused) as error:
        code = error.answer.channel_code if isinstance(error, NoAnswer) else "unreadable"
        return Bill(BillState.UNKNOWN, kind, day, channel_code=code, channel_message=str(error)[:256])
    finally:
        partial.unlink(missing_ok=True)
    return Bill(BillState.READY if totals.count else BillState.EMPTY, kind, day, (path,))


class _ListRefused(Exception):
    """Stripe refused to list the transactions."""

    def __init__(self, state: BillState, code: str | None, message: str | None) -> None:
        super().__init__(code)
        self.state = state
        self.code = code
        self.message = message


async def _entries(client: StripeClient, responses: StripeResponses, start: datetime) -> AsyncIterator[Any]:
    """Yield the day's transactions, page by page, each once."""
    filters = {
        "created[gte]": str(int(start.timestamp())),
        "created[lt]": str(int(start.timestamp()) + 86_400),
        "expand[]": "data.source",
    }
    last: str | None = None
    while True:
        after = {} if last is None else {"starting_after": last}
        reply = await client.get("/v1/balance_transactions", filters | {"limit": str(_PAGE)} | after)
        if not reply.ok:
            refusal = responses.refusal("bill", reply)
            state = BillState.REFUSED if refusal.state is ChannelState.FAILED else BillState.UNKNOWN
            raise _ListRefused(state, refusal.channel_code, refusal.channel_message)
        data, more = reply.content.get("data"), reply.content.get("has_more")
        if not isinstance(data, list) or not isinstance(more, bool) or (more and not data):
            raise NoAnswer("unreadable", "not a list of balance transactions")
        for entry in data:
            if not isinstance(entry, dict) or not is_id(entry.get("id"), "txn_"):
                raise NoAnswer("unreadable", "not a balance transaction")
            yield entry
        if not more:
            return
        if data[-1]["id"] == last:
            raise NoAnswer("unreadable", "the list repeats a page")
        last = data[-1]["id"]


def _check_day(entry: Any, start: datetime) -> None:
    """Check that an object is a balance transaction of this day.

    Errors:
        BillRefused: it is not.
    """
    if not isinstance(entry, dict) or entry.get("object") != "balance_transaction":
        raise BillRefused("a line is not a balance transaction")
    created = to_instant(entry.get("created"))
    if created is None or not start <= created < start + timedelta(days=1):
        raise BillRefused("a balance transaction is of another day")


def _check_amounts(entry: Mapping[str, Any]) -> None:
    """Check that a balance transaction adds up.

    Errors:
        BillRefused: it does not, or lacks an amount.
    """
    numbers = [entry.get(name) for name in ("amount", "fee", "net")]
    if not all(type(number) is int for number in numbers) or to_currency(entry.get("currency")) is None:
        raise BillRefused("a balance transaction lacks its amount, fee, net or currency")
    if entry["amount"] - entry["fee"] != entry["net"]:
        raise BillRefused("a balance transaction does not add up")


def read_bill(bill: Bill) -> Iterator[BillRow]:
    """Yield the rows, one line at a time."""
    return bounded(_rows(bill))


def _rows(bill: Bill) -> Iterator[BillRow]:
    if bill.state not in (BillState.READY, BillState.EMPTY) or not bill.files:
        raise BillRefused("there is no bill to read")
    start, totals, end = datetime.combine(bill.day, time(), UTC), BalanceTotals(), b""
    if bill.files[0].stat().st_size > _FILE_MAX:
        raise BillRefused("the bill is longer than the limit")
    with bill.files[0].open("rb") as file:
        while line := file.readline(_LINE_MAX):
            if end:
                raise BillRefused("lines follow the totals")
            if not line.endswith(b"\n"):
                raise BillRefused("a line is cut off or too long")
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                raise BillRefused("a line is not JSON") from None
            if isinstance(entry, dict) and entry.get("object") == "totals":
                end = line
                continue
            _check_day(entry, start)
            totals.add(entry)
            try:
                _check_amounts(entry)
                yield _row(entry)
            except BillRefused as error:
                yield exception_row(totals.count, error.detail, line.decode())
    if end != totals.line():
        raise BillRefused("the rows do not add up to the totals")


def _row(entry: Mapping[str, Any]) -> BillRow:
    """Return a row. Amounts are the payer's, from the charge or refund; the fee is set if it is in that currency.

    A platform's application fee is no fee of Stripe's: it is not settled.
    """
    source_value = entry.get("source")
    source: Mapping[str, Any] = source_value if isinstance(source_value, dict) else {}
    kind = _kind(entry, source)
    amount_minor, currency = abs(entry["amount"]), entry["currency"]
    is_converted = kind is BillRowKind.DISPUTE and source.get("currency", currency) != currency
    if (kind in (BillRowKind.PAYMENT, *_ABOUT_REFUND) and source) or is_converted:
        amount_minor, currency = _payer_amount(source, kind)
    amount_minor = _minor(amount_minor, currency)
    number = metadata(source, "refund_no" if kind in _ABOUT_REFUND else "attempt_no")
    in_currency = currency == entry["currency"]
    withheld = _minor(_application_fee(entry), currency) if kind is BillRowKind.PAYMENT and in_currency else 0
    source_id = source.get("payment_intent") if kind is BillRowKind.PAYMENT else source.get("id")
    original = source.get("payment_intent") if kind in (*_ABOUT_REFUND, BillRowKind.DISPUTE) else None
    return BillRow(
        kind=kind,
        our_no=number if kind in (BillRowKind.PAYMENT, *_ABOUT_REFUND) else None,
        channel_no=text(source_id, 255) or text(source_value, 255) or text(entry.get("id"), 255),
        original_no=metadata(source, "attempt_no") if kind in (*_ABOUT_REFUND, BillRowKind.DISPUTE) else None,
        amount_minor=amount_minor,
        currency=currency.upper(),
        fee_minor=_minor(entry["fee"], currency) - withheld if in_currency else None,
        state=_state(entry, kind),
        happened_at=to_instant(entry.get("created")),
        settle_date=_date(entry.get("available_on")),
        original_channel_no=text(original, 255),
        sums=row_sums(amount_minor, amount_minor, amount_minor - withheld) if withheld else None,
    )


def _kind(entry: Mapping[str, Any], source: Mapping[str, Any]) -> BillRowKind:
    """Return the kind of a row. A dispute's money moves by adjustments, which also exist without a dispute."""
    if source.get("object") == "dispute" or str(entry.get("reporting_category")).startswith("dispute"):
        return BillRowKind.DISPUTE
    return _KINDS.get(str(entry.get("type")), BillRowKind.OTHER)


def _state(entry: Mapping[str, Any], kind: BillRowKind) -> str:
    """Return Stripe's type; of a dispute's adjustment its category, `dispute` for what is taken."""
    if kind is not BillRowKind.DISPUTE:
        return text(entry.get("type"), 64) or ""
    return text(entry.get("reporting_category"), 64) or ("dispute" if entry["amount"] < 0 else "dispute_reversal")


def _application_fee(entry: Mapping[str, Any]) -> int:
    details = entry.get("fee_details")
    fees = [fee for fee in details if isinstance(fee, dict)] if isinstance(details, list) else []
    amounts = [fee.get("amount") for fee in fees if fee.get("type") == "application_fee"]
    return sum(amount for amount in amounts if type(amount) is int)


def _payer_amount(source: Mapping[str, Any], kind: BillRowKind) -> tuple[int, str]:
    captured = source.get("amount_captured", source.get("amount"))
    amount_minor = captured if kind is BillRowKind.PAYMENT else source.get("amount")
    if type(amount_minor) is not int or amount_minor < 0 or to_currency(source.get("currency")) is None:
        raise BillRefused("the source of a balance transaction has no amount")
    return amount_minor, source["currency"]


def _minor(value: int, currency: str) -> int:
    """Convert an amount from Stripe's units.

    Errors:
        BillRefused: it has a part of a minor unit.
    """
    minor = to_minor(value, currency)
    if minor is None:
        raise BillRefused("an amount is not a whole number of minor units")
    return minor


def _date(value: object) -> date | None:
    instant = to_instant(value)
    return instant.date() if instant is not None else None
