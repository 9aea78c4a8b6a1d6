"""UnionPay's daily file: a signed answer holds a zip, compressed again, with one ZM file of fixed width.

A row is cut by bytes before it is decoded, since one Chinese character takes two. The file has no totals, so a bill is
complete if every row has its full length. A row with a field of another form is one exception. A ZME file holds
corrections made by people.

Source:
    UnionPay's file interface specification as its public clients read it: widths, names of the columns, compression.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

from hutong.channels.bill import (
    Bill,
    BillRow,
    BillRowKind,
    BillState,
    bounded,
    exception_row,
    row_sums,
)
from hutong.channels.capability import BillRule
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import BillRefused, NoAnswer
from hutong.channels.model import ChannelState
from hutong.channels.unionpay.client import UnionPayClient
from hutong.channels.unionpay.credentials import BillSettings, UnionPayCredentials
from hutong.channels.unionpay.requests import bill_fields
from hutong.channels.unionpay.responses import from_short_time, to_our_number
from hutong.clock import BEIJING

WIDTHS = {
    "trade_code": 3,
    "acquirer": 11,
    "sender": 11,
    "trace_no": 6,
    "time": 10,
    "account": 19,
    "amount": 12,
    "category": 4,
    "terminal_type": 2,
    "query_id": 21,
    "old_pay_type": 2,
    "order_no": 32,
    "card_type": 2,
    "original_trace_no": 6,
    "original_time": 10,
    "fee": 13,
    "settled": 13,
    "pay_type": 4,
    "group_merchant": 15,
    "transaction_type": 2,
    "transaction_sub_type": 2,
    "business_type": 6,
    "account_type": 2,
    "bill_type": 4,
    "bill_no": 32,
    "interaction": 1,
    "original_query_id": 21,
    "merchant": 15,
    "split_way": 1,
    "sub_merchant": 15,
    "sub_merchant_name": 32,
    "split_amount": 13,
    "net_settled": 13,
    "terminal": 8,
    "merchant_text": 32,
    "discount": 13,
    "invoice": 13,
    "installment_fee": 12,
    "installments": 2,
    "medium": 1,
    "order_reference": 32,
    "reserved": 98,
}
ROW_LENGTH = sum(WIDTHS.values()) + len(WIDTHS) - 1
"""607 bytes, with one blank between two columns."""

_ENDS = list(itertools.accumulate(width + 1 for width in WIDTHS.values()))
_COLUMNS = {name: slice(end - width - 1, end - 1) for (name, width), end in zip(WIDTHS.items(), _ENDS, strict=True)}
_BLANKS = [end - 1 for end in _ENDS[:-1]]
_ANSWER_LIMIT = 1 << 26
_PACKED_LIMIT = 1 << 26
_UNPACKED_LIMIT = 1 << 30
_RATIO_MAX = 200
_BLANK_MAX = 1 << 12
_SMALL = 1 << 20
"""Size up to which the compression ratio of a file is not limited."""


async def download_bill(
    client: UnionPayClient,
    credentials: UnionPayCredentials,
    codes: Codes,
    rule: BillRule,
    day: date,
    folder: Path,
    *,
    now: datetime,
) -> Bill:
    """Request the file of a clearing day and unpack it into a folder.

    Errors:
        BillRefused: the answer is UnionPay's, but it holds no bill.
    """
    unknown = Bill(BillState.UNKNOWN, rule.kinds[0], day)
    into = folder / f"unionpay-{day:%Y%m%d}.answer"
    try:
        answer = await client.download(bill_fields(day, credentials, now), now, into=into, limit=_ANSWER_LIMIT)
    except NoAnswer as error:
        return replace(unknown, channel_code=error.answer.channel_code, channel_message=error.answer.channel_message)
    if answer.get("merId") != credentials.mer_id or answer.get("settleDate", f"{day:%m%d}") != f"{day:%m%d}":
        return replace(unknown, channel_code="not_ours")
    code, message = answer.get("respCode", "unreadable"), answer.get("respMsg")
    if code == "00":
        files = await asyncio.to_thread(unpack, answer.get("fileContent", ""), folder)
        return replace(unknown, state=BillState.READY, files=files)
    state = codes.read("bill", code, message=message or "").state
    return replace(
        unknown,
        state=_missing_state(state, ready=now >= _ready_at(day, rule)),
        channel_code=code[:64],
        channel_message=(message or "")[:256] or None,
    )


def _ready_at(day: date, rule: BillRule) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(rule.ready_hour), BEIJING)


def _missing_state(state: ChannelState, *, ready: bool) -> BillState:
    """Return why there is no bill. A missing bill means an empty day only after the time at which bills are made."""
    if state is ChannelState.NOT_FOUND:
        return BillState.EMPTY if ready else BillState.NOT_READY
    return BillState.REFUSED if state is ChannelState.FAILED else BillState.UNKNOWN


def unpack(content: str, folder: Path) -> tuple[Path, ...]:
    """Write the ZM file, and the ZME file if there is one, into a folder.

    Errors:
        BillRefused: not base64 of a compressed zip, above the limits, or without one ZM file.
    """
    packed = folder / "unionpay.zip"
    try:
        inflater = zlib.decompressobj()
        raw = inflater.decompress(base64.b64decode(content, validate=True), _PACKED_LIMIT)
        if not inflater.eof or inflater.unused_data:
            raise BillRefused("the bill's archive is cut off or too large")
        packed.write_bytes(raw)
        with zipfile.ZipFile(packed) as archive:
            return _extract(archive, folder)
    except (zlib.error, binascii.Error, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError):
        raise BillRefused("the bill's archive cannot be unpacked") from None
    finally:
        packed.unlink(missing_ok=True)


def _extract(archive: zipfile.ZipFile, folder: Path) -> tuple[Path, ...]:
    members = {member.filename: member for member in archive.infolist()}
    wrong = any(member.header_offset < 0 for member in members.values())  # it lies before the start of the file
    if wrong or len(members) != len(archive.infolist()) or len(members) > 16:
        raise BillRefused("the bill's archive does not hold a bill's files")
    names = [
        name
        for kind in ("ZM", "ZME")
        for name in members
        if re.fullmatch(rf"[A-Z]{{3}}[0-9]{{8}}{kind}_\w+(?:\.txt)?", name)
    ]
    if not names or "ZME_" in names[0] or (len(names) > 1 and "ZME_" not in names[1]):
        raise BillRefused("the bill's archive must hold one ZM file")
    written = []
    for name in names:
        member, path = members[name], folder / name
        if member.file_size > _SMALL and member.file_size > _RATIO_MAX * member.compress_size:
            raise BillRefused("the bill's compression ratio is above the limit")
        length = 0
        with archive.open(member) as source, path.open("wb") as target:
            while chunk := source.read(1 << 16):
                length += len(chunk)
                if length > _UNPACKED_LIMIT:
                    raise BillRefused("the bill is larger than the limit")
                target.write(chunk)
        written.append(path)
    return tuple(written)


def read_bill(bill: Bill, credentials: UnionPayCredentials) -> Iterator[BillRow]:
    """Yield the rows of a ZM file."""
    return bounded(_rows(bill, credentials))


def _rows(bill: Bill, credentials: UnionPayCredentials) -> Iterator[BillRow]:
    if not bill.files:
        return
    noon = datetime(bill.day.year, bill.day.month, bill.day.day, 12, tzinfo=BEIJING)
    with bill.files[0].open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(ROW_LENGTH + 3)
            if not line.strip() and not file.read(_BLANK_MAX).strip():
                return  # a file may end with an empty line, and its last row without a line's end
            row = _whole(line, number, credentials)
            try:
                yield _row(row, bill.day, noon, credentials)
            except (ValueError, BillRefused) as error:
                yield exception_row(number, str(error), row.decode(credentials.bill.encoding, "replace"))


def _whole(line: bytes, number: int, credentials: UnionPayCredentials) -> bytes:
    """Return a row of the layout that is about this merchant.

    Errors:
        BillRefused: it is not.
    """
    row = line.removesuffix(b"\n").removesuffix(b"\r")
    if len(row) != ROW_LENGTH or any(row[blank : blank + 1] != b" " for blank in _BLANKS):
        raise BillRefused(f"row {number} of the bill does not have the length of the layout")
    if row[_COLUMNS["merchant"]].strip() != credentials.mer_id.encode():
        raise BillRefused(f"row {number} of the bill belongs to another merchant")
    return row


def _row(row: bytes, day: date, noon: datetime, credentials: UnionPayCredentials) -> BillRow:
    settings = credentials.bill
    row.decode(settings.encoding)  # the text is not used, but may tell that bytes have changed

    def column(name: str) -> str:
        return row[_COLUMNS[name]].decode("ascii").strip()

    happened_at = from_short_time(column("time"), noon)
    if happened_at is None or not timedelta(days=-40) < happened_at - noon < timedelta(days=2):
        raise BillRefused("its time is not near the day of the bill")
    order_no = column("order_no")
    kind = settings.kinds.get(column("transaction_type"), "other")
    fee, paid = _signed(column("fee"), settings), _digits(column("amount"))
    # The settled sum is written less the fee. What the payer was spared has a column of its own.
    settled = abs(_signed(column("settled"), settings) - fee)
    ordered = paid + abs(_signed(column("discount"), settings))
    return BillRow(
        kind=BillRowKind(kind),
        our_no=to_our_number(order_no) or order_no or None,
        channel_no=column("query_id") or None,
        original_no=None,
        amount_minor=ordered,
        currency="CNY",
        fee_minor=fee,
        state=column("trade_code"),
        happened_at=happened_at,
        settle_date=day,
        original_channel_no=column("original_query_id") if column("original_query_id").strip("0") else None,
        sums=row_sums(ordered, paid, settled) if kind in ("payment", "refund") else None,
    )


def _digits(text: str) -> int:
    if not re.fullmatch("[0-9]{12}", text):
        raise BillRefused("an amount is not twelve digits")
    return int(text)


def _signed(text: str, settings: BillSettings) -> int:
    """Return a fee: positive if taken from the merchant, negative if given back to the merchant."""
    letter, amount = text[:1], _digits(text[1:])
    if letter not in (settings.debit, settings.credit):
        raise BillRefused("a fee has neither the letter for debit nor that for credit")
    return amount if letter == settings.debit else -amount
