"""Alipay's business bill: a zip of two CSVs in GBK, the rows and a summary.

Nothing of a bill is used unless all of it adds up: its frame, its own totals, and the summary's counts.

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
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from hutong.channels.alipay.client import Gateway, NoWord, succeeded
from hutong.channels.alipay.credentials import AlipayCredentials
from hutong.channels.alipay.responses import CURRENCY, instant, refusal
from hutong.channels.bill import Bill, BillRow, BillRowKind, BillState
from hutong.channels.capability import BillRule
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import BillRefused, ChannelUnreachable
from hutong.channels.http import Http
from hutong.channels.model import text
from hutong.errors import InvalidParameter
from hutong.money import from_major

_PACKED_MAX = 512 << 20
_UNPACKED_MAX = 8 << 30
_RATIO_MAX = 200
"""How many times its packed size a file may have; rows of a bill pack to about a tenth."""
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
_NEEDED = (_NO, _OUR_NO, _TYPE, _DONE, _AMOUNT, _RECEIVED, _DISCOUNT, _FEE, _REFUND_NO)
_KINDS = {"交易": BillRowKind.PAYMENT, "退款": BillRowKind.REFUND}


async def download(
    gateway: Gateway,
    codes: Codes,
    http: Http,
    credentials: AlipayCredentials,
    rule: BillRule,
    day: date,
    folder: Path,
    *,
    now: datetime,
) -> Bill:
    """Fetch the bill of a day and check it whole."""
    content = {"bill_type": rule.kinds[0], "bill_date": day.isoformat()}
    none = Bill(BillState.UNKNOWN, rule.kinds[0], day)
    try:
        node = await gateway.call("alipay.data.dataservice.bill.downloadurl.query", content, now=now)
        address = node.get("bill_download_url")
        if not succeeded(node):
            answer = refusal(codes, "bill", node)
            state = _state(answer.code, rule, day, now)
            return Bill(state, none.kind, day, (), answer.channel_code, answer.channel_message)
        # The address is signed by Alipay; it must not lead out of what the account itself speaks.
        if not isinstance(address, str) or urlsplit(address).scheme != urlsplit(credentials.base_url).scheme:
            raise NoWord("unreadable", "a bill without an address")
        into = folder / f"alipay_{credentials.seller_id}_{rule.kinds[0]}_{day:%Y%m%d}.zip"
        await http.download("GET", address, headers={}, into=into, limit=_PACKED_MAX)
    except NoWord as nothing:
        return Bill(none.state, none.kind, day, (), nothing.answer.channel_code, nothing.answer.channel_message)
    except ChannelUnreachable as error:
        return Bill(none.state, none.kind, day, (), "no_answer", text(error.detail, 256))
    bill = Bill(BillState.READY, none.kind, day, (into,))
    count = await asyncio.to_thread(lambda: sum(1 for _ in read(bill, credentials.seller_id)))
    return bill if count else Bill(BillState.EMPTY, none.kind, day, (into,))


def _state(code: str | None, rule: BillRule, day: date, now: datetime) -> BillState:
    """What a refusal means. That there is no bill means two things: the time tells which."""
    if code == "bill_not_found":
        ready = datetime.combine(day + timedelta(days=1), time(rule.ready_hour), timezone(rule.utc_offset))
        return BillState.EMPTY if now >= ready else BillState.NOT_READY
    if code == "bill_not_ready":
        return BillState.NOT_READY
    refused = ("parameter_invalid", "merchant_not_permitted", "bill_too_old")
    return BillState.REFUSED if code in refused else BillState.UNKNOWN


def read(bill: Bill, seller_id: str) -> Iterator[BillRow]:
    """The rows of a bill.

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
            counted = _Totals()
            with packed.open(titles[DETAIL_TITLE]) as file:
                yield from _rows(_Lines(file), bill.day, seller_id, counted)
            with packed.open(titles[SUMMARY_TITLE]) as file:
                _check_summary(_Lines(file), bill.day, seller_id, counted)
    except _BROKEN as error:
        raise BillRefused(f"the bill is not a whole zip: {type(error).__name__}") from None


def _check_sizes(packed: zipfile.ZipFile) -> None:
    members = packed.infolist()
    if len(members) > _FILES_MAX or sum(member.file_size for member in members) > _UNPACKED_MAX:
        raise BillRefused("the bill is larger than any bill")
    for member in members:
        if member.file_size > _RATIO_MAX * max(member.compress_size, 1 << 10):
            raise BillRefused("the bill is packed more tightly than any bill")


def _title(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """The first line of a file: their names are in an encoding of their own."""
    with packed.open(member) as file:
        return file.readline(_LINE_MAX).decode("gbk", "replace").rstrip("\r\n")


class _Lines:
    """The lines of a file, decoded; every one must end as Alipay ends them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def next(self) -> str | None:
        line = self._file.readline(_LINE_MAX)
        if not line:
            return None
        if not line.endswith(b"\r\n"):
            raise BillRefused("a line of the bill does not end, or is too long")
        try:
            return line[:-2].decode("gbk")
        except UnicodeDecodeError:
            raise BillRefused("the bill is not in GBK") from None

    def need(self) -> str:
        line = self.next()
        if line is None:
            raise BillRefused("the bill is cut off")
        return line


@dataclass(slots=True)
class _Totals:
    payments: int = 0
    refunds: int = 0
    received_minor: int = 0
    returned_minor: int = 0
    discount_minor: int = 0
    undiscount_minor: int = 0


def _head(lines: _Lines, title: str, begin: re.Pattern[str], day: date, seller_id: str) -> list[str]:
    """Check the four lines above the header and return the header."""
    period = f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{day + timedelta(days=1):%Y年%m月%d日} 00:00:00]"
    if lines.need() != title or not lines.need().startswith(f"#账号：[{seller_id}"):
        raise BillRefused("the bill is not of this seller")
    if lines.need() != period or not begin.fullmatch(lines.need()):
        raise BillRefused("the bill is not of this day")
    return lines.need().split(",")


def _rows(lines: _Lines, day: date, seller_id: str, counted: _Totals) -> Iterator[BillRow]:
    header = _head(lines, DETAIL_TITLE, _DETAIL_BEGIN, day, seller_id)
    if len(set(header)) != len(header) or not set(_NEEDED) <= set(header):
        raise BillRefused("the bill has other columns")
    line = lines.need()
    while not _DETAIL_END.fullmatch(line):
        values = line.split(",")
        if len(values) != len(header):
            raise BillRefused("a row of the bill has more or fewer columns than its header")
        yield _row({name: value.strip() for name, value in zip(header, values, strict=True)}, counted)
        line = lines.need()
    told = (_PAYMENTS.fullmatch(lines.need()), _REFUNDS.fullmatch(lines.need()))
    expected = (
        (counted.payments, counted.received_minor, counted.discount_minor),
        (counted.refunds, counted.returned_minor, counted.undiscount_minor),
    )
    for found, sums in zip(told, expected, strict=True):
        if found is None or (int(found[1]), _minor(found[2]), _minor(found[3])) != sums:
            raise BillRefused("the rows of the bill do not add up to its totals")
    if not lines.need().startswith("#导出时间：[") or lines.next() is not None:
        raise BillRefused("the bill is cut off")


def _row(values: dict[str, str], counted: _Totals) -> BillRow:
    word = values[_TYPE]
    kind = _KINDS.get(word, BillRowKind.OTHER)
    amount_minor, received, discount = _minor(values[_AMOUNT]), _minor(values[_RECEIVED]), _minor(values[_DISCOUNT])
    if kind is BillRowKind.REFUND:
        counted.refunds += 1
        counted.returned_minor += received
        counted.undiscount_minor += discount
    elif kind is BillRowKind.PAYMENT:
        counted.payments += 1
        counted.received_minor += received
        counted.discount_minor += discount
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
        fee_minor=-_minor(values[_FEE]),  # the bill counts what Alipay keeps as negative
        state=word,
        happened_at=instant(values[_DONE]),
    )


def _check_summary(lines: _Lines, day: date, seller_id: str, counted: _Totals) -> None:
    _head(lines, SUMMARY_TITLE, _SUMMARY_BEGIN, day, seller_id)
    while not (line := lines.need()).startswith("合计,"):
        if line.startswith("#"):
            raise BillRefused("the bill's summary is cut off")
    values = [value.strip() for value in line.split(",")]
    if values[2:4] != [str(counted.payments), str(counted.refunds)]:
        raise BillRefused("the rows of the bill are not as many as its summary says")


def _minor(written: str) -> int:
    try:
        return from_major(written, CURRENCY)
    except InvalidParameter:
        raise BillRefused("an amount of the bill cannot be read") from None
