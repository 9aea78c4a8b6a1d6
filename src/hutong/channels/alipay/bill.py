"""Alipay's business bill: a zip of two CSVs in GBK, the rows and a summary.

No part of a bill is used unless all of it adds up: its frame, its own totals, and the summary's counts. A row that
cannot be read, such as one whose texts hold commas, is one exception. What it adds to the totals must be certain;
otherwise the bill is refused.

Source:
    https://opendocs.alipay.com/open/02e7gt (download address), https://opendocs.alipay.com/open/309/104962 (columns).
"""

from __future__ import annotations

import asyncio
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from hutong.channels.alipay.client import AlipayClient
from hutong.channels.alipay.credentials import AlipayCredentials
from hutong.channels.alipay.requests import CURRENCY
from hutong.channels.alipay.responses import AlipayResponses, succeeded, to_instant
from hutong.channels.bill import (
    Bill,
    BillRow,
    BillRowKind,
    BillState,
    bounded,
    exception_row,
    regrouped,
    row_sums,
)
from hutong.channels.capability import BillRule
from hutong.channels.errors import BillRefused, ChannelUnreachable, NoAnswer
from hutong.channels.http import Http
from hutong.channels.model import text
from hutong.channels.sums import ChannelDiscount, DiscountFunder, Sums
from hutong.errors import InvalidParameter
from hutong.money import from_major

_PACKED_MAX = 512 << 20
_UNPACKED_MAX = 8 << 30
_RATIO_MAX = 200
"""Largest ratio of a file's size to its compressed size; the rows of a bill compress to about a tenth."""
_FILES_MAX = 8
_LINE_MAX = 16 << 10
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error)

DETAIL_TITLE = "#支付宝业务明细查询"
SUMMARY_TITLE = "#支付宝业务汇总查询"
_DETAIL_BEGIN = re.compile(r"#-+业务明细列表-+")
_DETAIL_END = re.compile(r"#-+业务明细列表结束-+")
_SUMMARY_BEGIN = re.compile(r"#-+业务汇总列表-+")
_PAYMENTS = re.compile(r"#交易合计：([0-9]+)笔，商家实收共(-?[0-9.]+)元，商家优惠共(-?[0-9.]+)元")
_REFUNDS = re.compile(r"#退款合计：([0-9]+)笔，商家实收退款共(-?[0-9.]+)元，商家优惠退款共(-?[0-9.]+)元")
_NO, _OUR_NO, _TYPE, _DONE = "支付宝交易号", "商户订单号", "业务类型", "完成时间"
_AMOUNT, _RECEIVED, _DISCOUNT, _FEE = "订单金额（元）", "商家实收（元）", "商家优惠（元）", "服务费（元）"
_REFUND_NO = "退款批次号/请求号"
_COLUMNS = (_NO, _OUR_NO, _TYPE, _DONE, _AMOUNT, _RECEIVED, _DISCOUNT, _FEE, _REFUND_NO)
_FREE = ("商品名称", "门店名称", "操作员", "券名称", "备注")
_TYPED = re.compile(r"创建时间|完成时间|.*（元）")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_ROW = re.compile(r"[0-9]{16,64}\t?,")
"""The beginning of a row: Alipay's number of the trade."""
_FUNDED = (
    (_DISCOUNT, DiscountFunder.MERCHANT, False),
    ("支付宝红包（元）", DiscountFunder.CHANNEL, True),
    ("支付宝优惠（元）", DiscountFunder.CHANNEL, True),
    ("商家红包消费金额（元）", DiscountFunder.MERCHANT, True),
)
"""The columns of discounts: who bears them, and whether they are settled. The merchant has paid for its red packets."""
_KINDS = {"交易": BillRowKind.PAYMENT, "退款": BillRowKind.REFUND}


async def download_bill(
    client: AlipayClient,
    responses: AlipayResponses,
    http: Http,
    credentials: AlipayCredentials,
    rule: BillRule,
    day: date,
    folder: Path,
    *,
    now: datetime,
) -> Bill:
    """Fetch the bill of a day and check all of it."""
    content = {"bill_type": rule.kinds[0], "bill_date": day.isoformat()}
    unknown = Bill(BillState.UNKNOWN, rule.kinds[0], day)
    try:
        node = await client.call("alipay.data.dataservice.bill.downloadurl.query", content, now=now)
        address = node.get("bill_download_url")
        if not succeeded(node):
            answer = responses.refusal("bill", node)
            state = _state(answer.code, rule, day, now)
            return Bill(state, unknown.kind, day, (), answer.channel_code, answer.channel_message)
        # The address is signed by Alipay; it must use the same scheme as the account.
        if not isinstance(address, str) or urlsplit(address).scheme != urlsplit(credentials.base_url).scheme:
            raise NoAnswer("unreadable", "a bill without an address")
        into = folder / f"alipay_{credentials.seller_id}_{rule.kinds[0]}_{day:%Y%m%d}.zip"
        await http.download("GET", address, headers={}, into=into, limit=_PACKED_MAX)
    except NoAnswer as error:
        return replace(unknown, channel_code=error.answer.channel_code, channel_message=error.answer.channel_message)
    except ChannelUnreachable as unreachable:
        return replace(unknown, channel_code="no_answer", channel_message=text(unreachable.detail, 256))
    bill = Bill(BillState.READY, unknown.kind, day, (into,))
    count = await asyncio.to_thread(lambda: sum(1 for _ in read_bill(bill, credentials.seller_id)))
    return bill if count else Bill(BillState.EMPTY, unknown.kind, day, (into,))


def _state(code: str | None, rule: BillRule, day: date, now: datetime) -> BillState:
    """Return the meaning of a refusal. A missing bill is an empty one only after the time at which bills are made."""
    if code == "bill_not_found":
        ready = datetime.combine(day + timedelta(days=1), time(rule.ready_hour), timezone(rule.utc_offset))
        return BillState.EMPTY if now >= ready else BillState.NOT_READY
    if code == "bill_not_ready":
        return BillState.NOT_READY
    refused = ("parameter_invalid", "merchant_not_permitted", "bill_too_old")
    return BillState.REFUSED if code in refused else BillState.UNKNOWN


def read_bill(bill: Bill, seller_id: str) -> Iterator[BillRow]:
    """Yield the rows of a bill.

    Errors:
        BillRefused: not a bill of this layout, of this seller and day, or its rows do not add up.
    """
    if not bill.files:
        return
    try:
        with zipfile.ZipFile(bill.files[0]) as packed:
            _check_sizes(packed)
            titles = {_title(packed, member): member for member in packed.infolist()}
            if DETAIL_TITLE not in titles or SUMMARY_TITLE not in titles:
                raise BillRefused("the bill's rows or its summary are missing")
            totals = _RowTotals()
            with packed.open(titles[DETAIL_TITLE]) as file:
                yield from bounded(_rows(_GbkLines(file), bill.day, seller_id, totals))
            with packed.open(titles[SUMMARY_TITLE]) as file:
                _check_summary(_GbkLines(file), bill.day, seller_id, totals)
    except _BROKEN as error:
        raise BillRefused(f"the bill is not a whole zip: {type(error).__name__}") from None


def _check_sizes(packed: zipfile.ZipFile) -> None:
    members = packed.infolist()
    if len(members) > _FILES_MAX or sum(member.file_size for member in members) > _UNPACKED_MAX:
        raise BillRefused("the bill is larger than the limit")
    for member in members:
        if member.file_size > _RATIO_MAX * max(member.compress_size, 1 << 10):
            raise BillRefused("the bill's compression ratio is above the limit")


def _title(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """Return the first line of a file, which identifies it: the encoding of the names is not known."""
    with packed.open(member) as file:
        return file.readline(_LINE_MAX).decode("gbk", "replace").rstrip("\r\n")


class _GbkLines:
    """The decoded lines of a file, counted, each with the line end that Alipay writes.

    What is not GBK becomes U+FFFD, which GBK does not have.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.number = 0

    def next(self) -> str | None:
        line = self._file.readline(_LINE_MAX)
        if not line:
            return None
        while not line.endswith(b"\r\n"):  # a text may hold a line feed alone
            more = self._file.readline(_LINE_MAX)
            line += more
            if not more or len(line) > _LINE_MAX:
                raise BillRefused("a line of the bill is cut off or too long")
        self.number += 1
        return line[:-2].decode("gbk", "replace")

    def need(self) -> str:
        line = self.next()
        if line is None:
            raise BillRefused("the bill is cut off")
        return line


@dataclass(slots=True)
class _RowTotals:
    payments: int = 0
    refunds: int = 0
    received_minor: int = 0
    returned_minor: int = 0
    discount_minor: int = 0
    undiscount_minor: int = 0


def _head(lines: _GbkLines, title: str, begin: re.Pattern[str], day: date, seller_id: str) -> list[str]:
    """Check the four lines above the header and return the header."""
    period = f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{day + timedelta(days=1):%Y年%m月%d日} 00:00:00]"
    if lines.need() != title or not lines.need().startswith(f"#账号：[{seller_id}"):
        raise BillRefused("the bill is not of this seller")
    if lines.need() != period or not begin.fullmatch(lines.need()):
        raise BillRefused("the bill is not of this day")
    return lines.need().split(",")


def _rows(lines: _GbkLines, day: date, seller_id: str, totals: _RowTotals) -> Iterator[BillRow]:
    header = _head(lines, DETAIL_TITLE, _DETAIL_BEGIN, day, seller_id)
    if len(set(header)) != len(header) or not set(_COLUMNS) <= set(header):
        raise BillRefused("the bill lacks columns of its kind, or names one twice")
    line = lines.need()
    while not _DETAIL_END.fullmatch(line):
        number, text = lines.number, line
        # What follows and does not begin like a row belongs to a row whose text holds a line's end.
        while not _ROW.match(line := lines.need()) and not _DETAIL_END.fullmatch(line):
            text += f"\r\n{line}"
            if len(text) > _LINE_MAX:
                raise BillRefused("the bill is cut off")
        yield _read(text, number, header, totals)
    stated = (_PAYMENTS.fullmatch(lines.need()), _REFUNDS.fullmatch(lines.need()))
    expected = (
        (totals.payments, totals.received_minor, totals.discount_minor),
        (totals.refunds, totals.returned_minor, totals.undiscount_minor),
    )
    for match, sums in zip(stated, expected, strict=True):
        if match is None or (int(match[1]), _minor(match[2]), _minor(match[3])) != sums:
            raise BillRefused("the rows of the bill do not add up to its totals")
    if not lines.need().startswith("#导出时间：[") or lines.next() is not None:
        raise BillRefused("the bill is cut off")


def _read(text: str, number: int, header: list[str], totals: _RowTotals) -> BillRow:
    """Return a row, or the exception in its place; in both cases it is counted.

    Errors:
        BillRefused: the row cannot be read, and what it adds to the totals is not certain.
    """
    values = [value.strip() for value in text.split(",")]
    if len(values) == len(header):
        row = dict(zip(header, values, strict=True))
        _add(totals, _part(row))
        try:
            return _row(row) if "\ufffd" not in text else exception_row(number, "it is not in GBK", text)
        except BillRefused as error:
            return exception_row(number, error.detail, text)
    reason = f"it has {len(values)} values and {len(header)} columns"
    readings = []
    for candidate in regrouped(values, len(header), [header.index(name) for name in _FREE if name in header], ","):
        row = dict(zip(header, candidate, strict=True))
        with suppress(BillRefused):
            if all(_is_typed(name, value) for name, value in row.items() if _TYPED.fullmatch(name)):
                _row(row)
                readings += [] if _part(row) in readings else [_part(row)]
    if len(readings) != 1:
        raise BillRefused(f"line {number} cannot be read, {reason}, and so the totals prove nothing")
    _add(totals, readings[0])
    return exception_row(number, reason, text)


def _is_typed(name: str, value: str) -> bool:
    if name.endswith("（元）"):
        return re.fullmatch(r"-?[0-9]+\.[0-9]{2}", value) is not None
    return _TIME.fullmatch(value) is not None


def _part(values: dict[str, str]) -> tuple[BillRowKind, int, int]:
    """Return what a row adds to the totals: its kind, what the merchant receives, and the merchant's discount."""
    return _KINDS.get(values[_TYPE], BillRowKind.OTHER), _minor(values[_RECEIVED]), _minor(values[_DISCOUNT])


def _add(totals: _RowTotals, part: tuple[BillRowKind, int, int]) -> None:
    kind, received, discount = part
    if kind is BillRowKind.REFUND:
        totals.refunds += 1
        totals.returned_minor += received
        totals.undiscount_minor += discount
    elif kind is BillRowKind.PAYMENT:
        totals.payments += 1
        totals.received_minor += received
        totals.discount_minor += discount


def _row(values: dict[str, str]) -> BillRow:
    kind, amount_minor = _KINDS.get(values[_TYPE], BillRowKind.OTHER), _minor(values[_AMOUNT])
    if (kind is BillRowKind.PAYMENT and amount_minor < 0) or (kind is BillRowKind.REFUND and amount_minor > 0):
        raise BillRefused("an amount of the bill has the wrong sign")
    refunded = kind is BillRowKind.REFUND
    return BillRow(
        kind,
        our_no=(values[_REFUND_NO] if refunded else values[_OUR_NO]) or None,
        channel_no=values[_NO] or None,
        original_no=values[_OUR_NO] or None if refunded else None,
        amount_minor=abs(amount_minor),
        currency=CURRENCY,
        fee_minor=-_minor(values[_FEE]),  # the bill counts Alipay's fee as negative
        state=values[_TYPE],
        happened_at=to_instant(values[_DONE]),
        original_channel_no=values[_NO] or None if refunded else None,
        sums=None if kind is BillRowKind.OTHER else _sums(values),
    )


def _sums(values: dict[str, str]) -> Sums | None:
    """Return the sums of a payment or of a refund's parts; a refund's are written as negative."""
    discounts = tuple(
        ChannelDiscount(column.removesuffix("（元）"), funder, part, settles)
        for column, funder, settles in _FUNDED
        if (part := abs(_minor(values.get(column) or "0")))
    )
    ordered = abs(_minor(values[_AMOUNT]))
    paid = ordered - sum(discount.amount_minor for discount in discounts)
    return row_sums(ordered, paid, abs(_minor(values[_RECEIVED])), discounts)


def _check_summary(lines: _GbkLines, day: date, seller_id: str, totals: _RowTotals) -> None:
    _head(lines, SUMMARY_TITLE, _SUMMARY_BEGIN, day, seller_id)
    while not (line := lines.need()).startswith("合计,"):
        if line.startswith("#"):
            raise BillRefused("the bill's summary is cut off")
    values = [value.strip() for value in line.split(",")]
    if values[2:4] != [str(totals.payments), str(totals.refunds)]:
        raise BillRefused("the bill has another number of rows than its summary states")


def _minor(amount: str) -> int:
    try:
        return from_major(amount, CURRENCY)
    except InvalidParameter:
        raise BillRefused("an amount of the bill cannot be read") from None
