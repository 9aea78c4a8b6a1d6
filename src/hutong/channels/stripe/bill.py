"""Stripe: the day's balance transactions as a bill.

Stripe has no file of them; it lists them, newest first. They are written as they came, one JSON object a line, and a
last line of ours says how many there are and what they come to, so that a file that was cut or changed is refused.

Source:
    https://docs.stripe.com/api/balance_transactions/list, https://docs.stripe.com/reports/balance-transaction-types.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import orjson

from hutong.channels.bill import Bill, BillRow, BillRowKind, BillState
from hutong.channels.errors import BillRefused
from hutong.channels.model import ChannelState, text
from hutong.channels.stripe.client import NoWord, StripeWire, currency, instant, metadata
from hutong.channels.stripe.responses import is_id
from hutong.errors import InvalidParameter

KIND = "balance"
_PAGE = 50
_LINE_MAX = 1 << 18
_FILE_MAX = 4 << 30
_KINDS = {
    "charge": BillRowKind.PAYMENT,
    "payment": BillRowKind.PAYMENT,
    "refund": BillRowKind.REFUND,
    "payment_refund": BillRowKind.REFUND,
    "payout": BillRowKind.PAYOUT,
    "stripe_fee": BillRowKind.FEE,
    "stripe_fx_fee": BillRowKind.FEE,
    "tax_fee": BillRowKind.FEE,
}


class _Totals:
    """What the lines of a file come to."""

    def __init__(self) -> None:
        self.count = 0
        self.net: dict[str, int] = {}

    def add(self, entry: Mapping[str, Any]) -> None:
        self.count += 1
        self.net[entry["currency"]] = self.net.get(entry["currency"], 0) + entry["net"]

    def line(self) -> bytes:
        said = {"object": "totals", "count": self.count, "net": dict(sorted(self.net.items()))}
        return orjson.dumps(said) + b"\n"


async def download(wire: StripeWire, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
    """Fetch a day of UTC into `folder`; a file that breaks off is not left behind."""
    if kind != KIND:
        raise InvalidParameter("Stripe has no bill of this kind", param="kind")
    start = datetime.combine(day, time(), UTC)
    if now < start + timedelta(days=1):
        return Bill(BillState.NOT_READY, kind, day)
    path = folder / f"stripe-{kind}-{day.isoformat()}.jsonl"
    partial = path.with_suffix(".partial")
    totals = _Totals()
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            async for entry in _entries(wire, start):
                totals.add(_checked(entry, start))
                file.write(orjson.dumps(entry) + b"\n")
                if file.tell() > _FILE_MAX:
                    raise BillRefused("the bill has no end")
            file.write(totals.line())
        os.replace(partial, path)
    except _Refused as refused:
        return Bill(refused.state, kind, day, channel_code=refused.code, channel_message=refused.message)
    except (NoWord, BillRefused) as error:
        code = error.answer.channel_code if isinstance(error, NoWord) else "unreadable"
        return Bill(BillState.UNKNOWN, kind, day, channel_code=code, channel_message=str(error)[:256])
    finally:
        partial.unlink(missing_ok=True)
    return Bill(BillState.READY if totals.count else BillState.EMPTY, kind, day, (path,))


class _Refused(Exception):
    """Stripe answered something else than a page."""

    def __init__(self, state: BillState, code: str | None, message: str | None) -> None:
        super().__init__(code)
        self.state = state
        self.code = code
        self.message = message


async def _entries(wire: StripeWire, start: datetime) -> Any:
    """The day's entries, page by page, each once."""
    wanted = {
        "created[gte]": str(int(start.timestamp())),
        "created[lt]": str(int(start.timestamp()) + 86_400),
        "expand[]": "data.source",
    }
    last: str | None = None
    while True:
        after = {} if last is None else {"starting_after": last}
        reply = await wire.get("/v1/balance_transactions", wanted | {"limit": str(_PAGE)} | after)
        if not reply.ok:
            said = wire.refusal("bill", reply)
            state = BillState.REFUSED if said.state is ChannelState.FAILED else BillState.UNKNOWN
            raise _Refused(state, said.channel_code, said.channel_message)
        data, more = reply.content.get("data"), reply.content.get("has_more")
        if not isinstance(data, list) or not isinstance(more, bool) or (more and not data):
            raise NoWord("unreadable", "not a list of balance transactions")
        for entry in data:
            if not isinstance(entry, dict) or not is_id(entry.get("id"), "txn_"):
                raise NoWord("unreadable", "not a balance transaction")
            yield entry
        if not more:
            return
        if data[-1]["id"] == last:
            raise NoWord("unreadable", "the list does not go on")
        last = data[-1]["id"]


def _checked(entry: Any, start: datetime) -> Mapping[str, Any]:
    """The entry, if it is one and adds up.

    Errors:
        BillRefused: it is not, or does not.
    """
    if not isinstance(entry, dict) or entry.get("object") != "balance_transaction":
        raise BillRefused("a line is not a balance transaction")
    numbers = [entry.get(name) for name in ("amount", "fee", "net")]
    if not all(type(number) is int for number in numbers) or currency(entry.get("currency")) is None:
        raise BillRefused("a balance transaction without an amount, a fee, a net or a currency")
    if entry["amount"] - entry["fee"] != entry["net"]:
        raise BillRefused("a balance transaction does not add up")
    created = instant(entry.get("created"))
    if created is None or not start <= created < start + timedelta(days=1):
        raise BillRefused("a balance transaction is of another day")
    return entry


def read(bill: Bill) -> Iterator[BillRow]:
    """The rows, one line at a time."""
    if bill.state not in (BillState.READY, BillState.EMPTY) or not bill.files:
        raise BillRefused("there is no bill to read")
    start, totals, end = datetime.combine(bill.day, time(), UTC), _Totals(), b""
    if bill.files[0].stat().st_size > _FILE_MAX:
        raise BillRefused("the bill is too long")
    with bill.files[0].open("rb") as file:
        while line := file.readline(_LINE_MAX):
            if end:
                raise BillRefused("lines follow the totals")
            if not line.endswith(b"\n"):
                raise BillRefused("a line breaks off or is too long")
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                raise BillRefused("a line is not JSON") from None
            if isinstance(entry, dict) and entry.get("object") == "totals":
                end = line
                continue
            totals.add(_checked(entry, start))
            yield _row(entry)
    if end != totals.line():
        raise BillRefused("the rows do not come to the totals")


def _row(entry: Mapping[str, Any]) -> BillRow:
    """One entry. Amounts are the payer's, as on the charge or refund; the fee is told where it is in that currency."""
    found = entry.get("source")
    source: Mapping[str, Any] = found if isinstance(found, dict) else {}
    kind = _KINDS.get(str(entry.get("type")), BillRowKind.OTHER)
    paid, spoken = abs(entry["amount"]), entry["currency"]
    if kind in (BillRowKind.PAYMENT, BillRowKind.REFUND) and source:
        paid, spoken = _told(source, kind)
    number = metadata(source, "refund_no" if kind is BillRowKind.REFUND else "attempt_no")
    source_id = source.get("payment_intent") if kind is BillRowKind.PAYMENT else source.get("id")
    return BillRow(
        kind=kind,
        our_no=number if kind in (BillRowKind.PAYMENT, BillRowKind.REFUND) else None,
        channel_no=text(source_id, 255) or text(found, 255) or text(entry.get("id"), 255),
        original_no=metadata(source, "attempt_no") if kind is BillRowKind.REFUND else None,
        amount_minor=paid,
        currency=spoken.upper(),
        fee_minor=entry["fee"] if spoken == entry["currency"] else None,
        state=text(entry.get("type"), 64) or "",
        happened_at=instant(entry.get("created")),
        settle_date=_date(entry.get("available_on")),
    )


def _told(source: Mapping[str, Any], kind: BillRowKind) -> tuple[int, str]:
    captured = source.get("amount_captured", source.get("amount"))
    paid = captured if kind is BillRowKind.PAYMENT else source.get("amount")
    if type(paid) is not int or paid < 0 or currency(source.get("currency")) is None:
        raise BillRefused("the source of a balance transaction has no amount")
    return paid, source["currency"]


def _date(value: object) -> date | None:
    found = instant(value)
    return found.date() if found is not None else None
