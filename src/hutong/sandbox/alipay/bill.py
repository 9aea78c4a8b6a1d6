"""Alipay's business bill, byte for byte: a zip of two CSVs in GBK, the rows and their summary.

Source:
    https://opendocs.alipay.com/open/309/104962, and bills that merchants have shown in public.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from hutong.clock import BEIJING
from hutong.money import to_major
from hutong.sandbox.alipay.keys import SELLER_ID
from hutong.sandbox.bill import Entry

_ACCOUNT = f"{SELLER_ID}0156"
_COLUMNS = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_SUMMARY_COLUMNS = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,"
    "服务费（元）,分润（元）,实收净额（元）"
)
PAYMENT, REFUND = "交易", "退款"


def bill_rows(entries: Sequence[Entry], day: date, exported_at: datetime) -> bytes:
    """Write the file of rows."""
    payments = [entry for entry in entries if entry.state == PAYMENT]
    refunds = [entry for entry in entries if entry.state == REFUND]
    lines = [
        *_head("#支付宝业务明细查询", day),
        "#-----------------------------------------业务明细列表----------------------------------------",
        _COLUMNS,
        *(_row(entry) for entry in entries),
        "#-----------------------------------------业务明细列表结束------------------------------------",
        f"#交易合计：{len(payments)}笔，商家实收共{_received(payments)}元，商家优惠共{_borne(payments)}元",
        f"#退款合计：{len(refunds)}笔，商家实收退款共{_received(refunds)}元，商家优惠退款共{_borne(refunds)}元",
        _exported(exported_at),
    ]
    return _encode(lines)


def bill_summary(entries: Sequence[Entry], day: date, exported_at: datetime) -> bytes:
    """Write the file of totals."""
    counts = [sum(entry.state == state for entry in entries) for state in (PAYMENT, REFUND)]
    total_minor = sum(_signed(entry) for entry in entries)
    fee_minor = -sum(entry.fee_minor for entry in entries)
    borne_minor = sum(_sign(entry) * entry.borne_minor for entry in entries)
    prepaid_minor = sum(_sign(entry) * entry.prepaid_minor for entry in entries)
    received_minor = total_minor - borne_minor
    amounts = [total_minor, received_minor, prepaid_minor, borne_minor, 0, fee_minor, 0, received_minor + fee_minor]
    values = [*map(str, counts), *(_yuan(amount) for amount in amounts)]
    lines = [
        *_head("#支付宝业务汇总查询", day),
        "#-----------------------------------------业务汇总列表----------------------------------------",
        _SUMMARY_COLUMNS,
        ",".join(["\t", "\t", *values]),
        ",".join(["合计", "", *values]),
        "#----------------------------------------业务汇总列表结束-------------------------------------",
        _exported(exported_at),
    ]
    return _encode(lines)


def pack_bill(entries: Sequence[Entry], day: date, exported_at: datetime) -> bytes:
    """Pack both files as Alipay delivers them; their names are in GBK, which the zip does not declare."""
    buffer = io.BytesIO()
    stem = f"{_ACCOUNT}_{day:%Y%m%d}"
    names = [f"{stem}_业务明细.csv".encode("gbk"), f"{stem}_业务明细(汇总).csv".encode("gbk")]
    bodies = (bill_rows(entries, day, exported_at), bill_summary(entries, day, exported_at))
    made_at = exported_at.astimezone(BEIJING).timetuple()[:6]
    # The library writes names in UTF-8 only, so the names are replaced afterwards by ones of the same length.
    stand_ins = [f"{number}".rjust(len(name), "-") for number, name in enumerate(names)]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for stand_in, body in zip(stand_ins, bodies, strict=True):
            packed.writestr(zipfile.ZipInfo(stand_in, made_at), body, zipfile.ZIP_DEFLATED)
    whole = buffer.getvalue()
    for stand_in, name in zip(stand_ins, names, strict=True):
        whole = whole.replace(stand_in.encode(), name)
    return whole


def _head(title: str, day: date) -> list[str]:
    end = day + timedelta(days=1)
    return [
        title,
        f"#账号：[{_ACCOUNT}]",
        f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{end:%Y年%m月%d日} 00:00:00]",
    ]


def _exported(at: datetime) -> str:
    return f"#导出时间：[{at.astimezone(BEIJING):%Y年%m月%d日 %H:%M:%S}]"


def _row(entry: Entry) -> str:
    amount = _yuan(_signed(entry))
    refund_no = entry.number if entry.state == REFUND else ""
    values = [
        f"{entry.channel_order_no}\t",
        f"{entry.order_no}\t",
        entry.state,
        entry.description.replace(",", "，"),
        _time(entry.data["created_at"]),
        _time(entry.at),
        "\t",
        "\t",
        "\t",
        "\t",
        "*某(159****5620)\t",
        amount,
        _yuan(_sign(entry) * entry.settled_minor),
        "0.00",
        "0.00",
        _yuan(_sign(entry) * entry.prepaid_minor),
        _yuan(_sign(entry) * entry.borne_minor),
        "0.00",
        "",
        "0.00\t",
        "0.00",
        f"{refund_no}\t",
        _yuan(-entry.fee_minor),
        "0.00",
        entry.description.replace(",", "，"),
    ]
    return ",".join(values)


def _sign(entry: Entry) -> int:
    return -1 if entry.state == REFUND else 1


def _signed(entry: Entry) -> int:
    return _sign(entry) * entry.amount_minor


def _received(entries: Sequence[Entry]) -> str:
    return _yuan(sum(_sign(entry) * entry.settled_minor for entry in entries))


def _borne(entries: Sequence[Entry]) -> str:
    return _yuan(sum(_sign(entry) * entry.borne_minor for entry in entries))


def _yuan(amount_minor: int) -> str:
    return to_major(amount_minor, "CNY")


def _time(at: datetime) -> str:
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def _encode(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("gbk", "replace")
