"""WeChat Pay's daily bills: the trade bill, which reconciliation uses, and the fund-flow bill.

The format: UTF-8 with a byte order mark, CRLF line ends, a backtick before each value, a header, rows, a second header
and one row of totals. Amounts are in yuan. The hash covers the unpacked file; the download itself is not signed.

A row that cannot be read, such as one whose texts hold what separates values, is one exception. Its amounts must be
certain, so that the totals prove all rows; otherwise the bill is refused.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791866 (trade bill), 4012791867 (fund-flow bill),
    4013071227 (download); https://pay.weixin.qq.com/docs/partner/apis/partner-jsapi-payment/get-trade-bill.html
    (`sub_mchid`).
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TextIO

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
from hutong.channels.errors import BillRefused, NoAnswer
from hutong.channels.model import text
from hutong.channels.wechat.client import WeChatClient
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.channels.wechat.requests import to_payout_no
from hutong.channels.wechat.responses import WeChatResponses
from hutong.clock import BEIJING
from hutong.errors import InvalidParameter

PACKED_MAX = 512 << 20
UNPACKED_MAX = 4 << 30
RATIO_MAX = 200
READY_AT = time(10)
_LINE_MAX = 1 << 16
_BOM = b"\xef\xbb\xbf"
_YUAN = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,5})?")
_UNITS = 100_000
"""Parts of a yuan that bills count in: fees have five decimals."""

_TARGETS = {
    "trade": "/v3/bill/tradebill?bill_date={day}&bill_type=ALL&tar_type=GZIP",
    "fund_flow": "/v3/bill/fundflowbill?bill_date={day}&account_type=BASIC&tar_type=GZIP",
}


async def download_bill(
    client: WeChatClient, responses: WeChatResponses, merchant: WeChatMerchant,
    kind: str, day: date, folder: Path, *, now: datetime,
) -> Bill:  # fmt: skip
    """Fetch a bill into a folder, unpacked, and check it against the hash that WeChat has signed.

    Errors:
        InvalidParameter: WeChat has no bill of this kind.
        BillRefused: the file does not have this hash, is cut off, or unpacks to more than the limit.
    """
    if kind not in _TARGETS or (kind != "trade" and merchant.sub_mchid is not None):
        raise InvalidParameter("WeChat Pay has no bill of this kind", param="kind")
    target = _TARGETS[kind].format(day=day.isoformat())
    target += "" if merchant.sub_mchid is None else f"&sub_mchid={merchant.sub_mchid}"
    try:
        status, content = await client.call("GET", target, now)
        if status != 200:
            return _missing(kind, day, responses.refusal("bill", status, content).code, content, now)
        expected, address = content.get("hash_value"), client.target_of(content.get("download_url"))
        if content.get("hash_type") != "SHA1" or not isinstance(expected, str) or address is None:
            return Bill(BillState.UNKNOWN, kind, day, channel_code="unreadable")
        packed = folder / f"wechat-{kind}-{day}.csv.gz"
        reply = await client.download(address, now, into=packed, limit=PACKED_MAX)
    except NoAnswer as error:
        unknown = error.answer
        return Bill(BillState.UNKNOWN, kind, day, (), unknown.channel_code, unknown.channel_message)
    if reply.status != 200:
        return Bill(BillState.UNKNOWN, kind, day, channel_code=f"http_{reply.status}")
    unpacked = folder / f"wechat-{kind}-{day}.csv"
    try:
        if await asyncio.to_thread(unpack, packed, unpacked) != expected.lower():
            raise BillRefused("the bill does not have the hash that WeChat has signed")
    except BillRefused:
        await asyncio.to_thread(unpacked.unlink, missing_ok=True)
        raise
    finally:
        await asyncio.to_thread(packed.unlink, missing_ok=True)
    return Bill(BillState.READY, kind, day, (unpacked,))


def _missing(kind: str, day: date, code: str | None, content: Mapping[str, object], now: datetime) -> Bill:
    """Return why there is no bill. A missing bill means an empty day only after the time at which bills are made."""
    ready_at = datetime.combine(day + timedelta(days=1), READY_AT, BEIJING)
    states = {
        "bill_not_ready": BillState.NOT_READY,
        "bill_not_found": BillState.EMPTY if now >= ready_at else BillState.NOT_READY,
        "parameter_invalid": BillState.REFUSED,
        "merchant_not_permitted": BillState.REFUSED,
    }
    refusal = text(content.get("code"), 64), text(content.get("message"), 256)
    return Bill(states.get(code or "", BillState.UNKNOWN), kind, day, (), *refusal)


def unpack(packed: Path, into: Path) -> str:
    """Unpack a bill, or copy an uncompressed one, and return its SHA-1.

    Errors:
        BillRefused: cut off, damaged, or larger than the limit.
    """
    digest, length = hashlib.sha1(usedforsecurity=False), 0
    size = packed.stat().st_size
    limit = min(UNPACKED_MAX, max(size * RATIO_MAX, 1 << 20))
    with packed.open("rb") as raw, into.open("wb") as out:
        is_packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        source = gzip.GzipFile(fileobj=raw) if is_packed else raw
        try:
            while chunk := source.read(1 << 20):
                length += len(chunk)
                if length > limit:
                    raise BillRefused("the bill unpacks to more than the limit")
                digest.update(chunk)
                out.write(chunk)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BillRefused(f"the bill cannot be unpacked: {type(error).__name__}") from None
    return digest.hexdigest()


def read_bill(bill: Bill, sub_mchid: str | None = None) -> Iterator[BillRow]:
    """Yield the rows of a bill, all of this merchant under a service provider, then check that they add up."""
    if bill.state is BillState.EMPTY:
        return
    if bill.state is not BillState.READY or bill.kind not in _LAYOUTS:
        raise BillRefused("there is no bill to read")
    layout = _LAYOUTS[bill.kind]
    if sub_mchid is not None:
        layout = replace(layout, row=lambda row: _row_of(sub_mchid, row))
    with bill.files[0].open("rb") as start:
        if start.read(3) != _BOM:
            raise BillRefused("the bill does not begin with a byte order mark")
    with bill.files[0].open(encoding="utf-8-sig", errors="surrogateescape", newline="\r\n") as lines:
        yield from bounded(_rows(_Lines(lines), layout))


class _Lines:
    """The lines of a file, counted, each with the line end that WeChat writes."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number = 0

    def next(self) -> str:
        line = self._file.readline(_LINE_MAX)
        if not line.endswith("\r\n"):
            raise BillRefused("a line is cut off, or too long")
        self.number += 1
        return line[:-2]

    def at_end(self) -> bool:
        return not self._file.read(1)


@dataclass(frozen=True)
class _Layout:
    """The columns of one kind of bill.

    Attributes:
        header: Their names; WeChat may add columns, so they are found by name.
        row: Reads one row.
        free: The columns of free text, which may hold what separates values.
        totals: The totals of the last line, and the part that each row adds.
        counts: The totals that are counts, not amounts.
    """

    header: tuple[str, ...]
    row: Callable[[Mapping[str, str]], BillRow]
    free: frozenset[str]
    totals: Mapping[str, Callable[[Mapping[str, str]], int]]
    counts: frozenset[str]


def _rows(lines: _Lines, layout: _Layout) -> Iterator[BillRow]:
    names = lines.next().split(",")
    if len(set(names)) != len(names) or not set(layout.header) <= set(names):
        raise BillRefused("the bill lacks columns of its kind, or names one twice")
    sums = dict.fromkeys(layout.totals, 0)
    line = lines.next()
    while line.startswith("`"):
        number, text = lines.number, line
        # What follows without a backtick and is no header belongs to a row whose text holds a line's end.
        while not (line := lines.next()).startswith("`") and not set(layout.totals) <= set(line.split(",")):
            text += f"\r\n{line}"
            if len(text) > _LINE_MAX:
                raise BillRefused("the bill has no totals")
        row, parts = _read(text, number, names, layout)
        for name, part in parts.items():
            sums[name] += part
        yield row
    headings, last = line.split(","), lines.next()
    values = last[1:].split(",`")
    if not last.startswith("`") or len(values) != len(headings) or not set(layout.totals) <= set(headings):
        raise BillRefused("the bill has no totals")
    totals = dict(zip(headings, values, strict=True))
    for name, added in sums.items():
        if added != (_count(totals[name]) if name in layout.counts else _units(totals[name])):
            raise BillRefused(f"the rows do not add up to the bill's total: {name}")
    if not lines.at_end():
        raise BillRefused("data follows the totals")


def _read(text: str, number: int, names: Sequence[str], layout: _Layout) -> tuple[BillRow, dict[str, int]]:
    """Return a row, or the exception in its place, and what it adds to the totals.

    Errors:
        BillRefused: the row cannot be read, and what it adds to the totals is not certain.
    """
    values = text[1:].split(",`")
    if len(values) == len(names):
        row = dict(zip(names, values, strict=True))
        parts = {name: add(row) for name, add in layout.totals.items()}
        try:
            text.encode()
            return layout.row(row), parts
        except UnicodeEncodeError:
            return exception_row(number, "it is not UTF-8", text), parts
        except BillRefused as error:
            return exception_row(number, error.detail, text), parts
    reason = f"it has {len(values)} values and {len(names)} columns"
    free = [names.index(name) for name in names if name in layout.free]
    readings = []
    for candidate in regrouped(values, len(names), free, ",`"):
        row = dict(zip(names, candidate, strict=True))
        with suppress(BillRefused):
            parts = {name: add(row) for name, add in layout.totals.items()}
            layout.row(row)
            readings += [] if parts in readings else [parts]
    if len(readings) != 1:
        raise BillRefused(f"line {number} cannot be read, {reason}, and so the totals prove nothing")
    return exception_row(number, reason, text), readings[0]


def _units(value: str) -> int:
    """Return an amount in yuan as exact parts of a yuan."""
    if not _YUAN.fullmatch(value):
        raise BillRefused("an amount of the bill cannot be read")
    whole, _, fraction = value.removeprefix("-").partition(".")
    units = int(whole) * _UNITS + int(fraction.ljust(5, "0") or "0")
    return -units if value.startswith("-") else units


def _minor(value: str) -> int:
    units = _units(value)
    if units % (_UNITS // 100):
        raise BillRefused("an amount of the bill has a fraction of a fen")
    return units // (_UNITS // 100)


def _fee(value: str) -> int:
    """Return a fee in fen, rounded half up, away from zero; WeChat writes five decimals."""
    units, per_fen = _units(value), _UNITS // 100
    rounded = (abs(units) * 2 + per_fen) // (2 * per_fen)
    return -rounded if units < 0 else rounded


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise BillRefused("a count of the bill cannot be read")
    return int(value)


def _instant(value: str) -> datetime:
    try:
        return datetime.strptime(value, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING).astimezone(UTC)
    except ValueError:
        raise BillRefused("a time of the bill cannot be read") from None


def _number(value: str) -> str | None:
    """Return a number of ours or of WeChat's; a missing one is written as 0 or as nothing."""
    return None if value in ("", "0") else value


def _trade_row(row: Mapping[str, str]) -> BillRow:
    refund_no = _number(row["商户退款单号"])
    is_refund = refund_no is not None or _number(row["微信退款单号"]) is not None
    order_no = _number(row["商户订单号"])
    # The ordered sum, what is settled of it, and the coupons that the merchant has paid for in advance.
    columns = (
        ("申请退款金额", "退款金额", "充值券退款金额") if is_refund else ("订单金额", "应结订单金额", "代金券金额")
    )
    ordered, settled, prepaid = (_minor(row[column]) for column in columns)
    return BillRow(
        kind=BillRowKind.REFUND if is_refund else BillRowKind.PAYMENT,
        our_no=refund_no if is_refund else order_no,
        channel_no=_number(row["微信退款单号"]) if is_refund else _number(row["微信订单号"]),
        original_no=order_no if is_refund else None,
        amount_minor=ordered,
        currency=row["货币种类"],
        fee_minor=_fee(row["手续费"]),
        state=row["退款状态"] if is_refund else row["交易状态"],
        happened_at=_instant(row["交易时间"]),
        original_channel_no=_number(row["微信订单号"]) if is_refund else None,
        sums=row_sums(ordered, settled - prepaid, settled),
    )


def _row_of(sub_mchid: str, row: Mapping[str, str]) -> BillRow:
    if row["特约商户号"] != sub_mchid:
        raise BillRefused("a row is another merchant's")
    return _trade_row(row)


_FLOW_KINDS = {
    "交易": BillRowKind.PAYMENT,
    "退款": BillRowKind.REFUND,
    "商家转账": BillRowKind.PAYOUT,
    "扣除交易手续费": BillRowKind.FEE,
}


def _flow_row(row: Mapping[str, str]) -> BillRow:
    kind = _FLOW_KINDS.get(row["业务类型"], BillRowKind.OTHER)
    our_no = _number(row["业务凭证号"])
    amount_minor = _minor(row["收支金额(元)"])
    if amount_minor < 0 or row["收支类型"] not in ("收入", "支出"):
        raise BillRefused("a row is neither income nor expense")
    return BillRow(
        kind=kind,
        our_no=to_payout_no(our_no) if our_no and kind is BillRowKind.PAYOUT else our_no,
        channel_no=_number(row["微信支付业务单号"]),
        original_no=None,
        amount_minor=amount_minor,
        currency="CNY",
        fee_minor=None,
        state=row["收支类型"],
        happened_at=_instant(row["记账时间"]),
    )


def _sum(column: str) -> Callable[[Mapping[str, str]], int]:
    return lambda row: _units(row[column])


def _flow_sum(direction: str) -> Callable[[Mapping[str, str]], int]:
    return lambda row: _units(row["收支金额(元)"]) if row["收支类型"] == direction else 0


_TRADE_COLUMNS = (
    "交易时间", "公众账号ID", "商户号", "特约商户号", "设备号", "微信订单号", "商户订单号", "用户标识", "交易类型",
    "交易状态", "付款银行", "货币种类", "应结订单金额", "代金券金额", "微信退款单号", "商户退款单号", "退款金额",
    "充值券退款金额", "退款类型", "退款状态", "商品名称", "商户数据包", "手续费", "费率", "订单金额",
    "申请退款金额", "费率备注",
)  # fmt: skip
_FLOW_COLUMNS = (
    "记账时间", "微信支付业务单号", "资金流水单号", "业务名称", "业务类型", "收支类型", "收支金额(元)",
    "账户结余(元)", "资金变更提交申请人", "备注", "业务凭证号",
)  # fmt: skip
_LAYOUTS = {
    "trade": _Layout(
        header=_TRADE_COLUMNS,
        row=_trade_row,
        free=frozenset({"设备号", "商品名称", "商户数据包", "费率备注"}),
        totals={
            "总交易单数": lambda _: 1,
            "应结订单总金额": _sum("应结订单金额"),
            "退款总金额": _sum("退款金额"),
            "充值券退款总金额": _sum("充值券退款金额"),
            "手续费总金额": _sum("手续费"),
            "订单总金额": _sum("订单金额"),
            "申请退款总金额": _sum("申请退款金额"),
        },
        counts=frozenset({"总交易单数"}),
    ),
    "fund_flow": _Layout(
        header=_FLOW_COLUMNS,
        row=_flow_row,
        free=frozenset({"业务名称", "资金变更提交申请人", "备注"}),
        totals={
            "资金流水总笔数": lambda _: 1,
            "收入笔数": lambda row: int(row["收支类型"] == "收入"),
            "收入金额": _flow_sum("收入"),
            "支出笔数": lambda row: int(row["收支类型"] == "支出"),
            "支出金额": _flow_sum("支出"),
        },
        counts=frozenset({"资金流水总笔数", "收入笔数", "支出笔数"}),
    ),
}
