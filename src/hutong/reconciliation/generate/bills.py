"""The bills of the four channels, byte for byte as delivered, from the rows of an invented account.

Source:
    WeChat Pay: https://pay.weixin.qq.com/doc/v3/merchant/4012791866. Alipay:
    https://opendocs.alipay.com/open/309/104962. UnionPay: the file interface specification as its public clients read
    it. Stripe: https://docs.stripe.com/api/balance_transactions/list.
"""

from __future__ import annotations

import codecs
import gzip
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import IO

import orjson

from hutong.money import to_major
from hutong.reconciliation.generate.world import World

_CHUNK = 1 << 20
_WECHAT = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
    "申请退款金额,费率备注"
)
_WECHAT_TOTALS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
_ALIPAY = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_ALIPAY_TOTALS = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,"
    "服务费（元）,分润（元）,实收净额（元）"
)


@dataclass(slots=True)
class BillSums:
    """The sums of one kind of rows."""

    count: int = 0
    ordered: int = 0
    settled: int = 0
    prepaid: int = 0
    borne: int = 0
    fee: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The control totals of a bill.

    Attributes:
        net: By currency, what the channel owes for the rows, less its fees.
    """

    payments: BillSums
    refunds: BillSums
    count: int
    net: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Job:
    """One bill to be written; `lines` holds its rows, in UTF-8 and without what stands around them."""

    number: str
    day: date
    lines: Path
    folder: Path
    suffix: str
    totals: Totals
    packed: bool


def write_bill(world: World, day: date, where: str, folder: Path, suffix: str, *, packed: bool) -> tuple[Path, Totals]:
    """Write the bill of the rows that a condition selects.

    Args:
        where: A condition over the view `theirs`.
        suffix: Comes behind the name, before its ending.
        packed: As the channel delivers it; otherwise unpacked, where the channel gives both.

    Returns:
        The file and its totals.
    """
    totals = _totals(world, where)
    lines = folder / "lines.part"
    try:
        world.run(world.plan.channel, where=where, out=lines, number=world.plan.number)
        job = _Job(world.plan.number, day, lines, folder, suffix, totals, packed)
        return _WRITERS[world.plan.channel](job), totals
    finally:
        lines.unlink(missing_ok=True)


def _totals(world: World, where: str) -> Totals:
    by_kind = {"payment": BillSums(), "refund": BillSums(), "dispute": BillSums()}
    net: dict[str, int] = {}
    count = 0
    for kind, rows, ordered, settled, prepaid, borne, fee, currency, rest in world.run("totals", where=where):
        sums = by_kind[kind]
        sums.count += rows
        sums.ordered += ordered
        sums.settled += settled
        sums.prepaid += prepaid
        sums.borne += borne
        sums.fee += fee
        net[currency] = net.get(currency, 0) + rest
        count += rows
    return Totals(by_kind["payment"], by_kind["refund"], count, dict(sorted(net.items())))


def _wechat(job: _Job) -> Path:
    paid, back = job.totals.payments, job.totals.refunds
    last = (
        str(job.totals.count), _yuan(paid.settled), _yuan(back.settled), _yuan(back.prepaid),
        f"{_yuan(paid.fee + back.fee)}000", _yuan(paid.ordered), _yuan(back.ordered),
    )  # fmt: skip
    head = f"{_WECHAT}\r\n".encode()
    tail = f"{_WECHAT_TOTALS}\r\n{','.join(f'`{value}' for value in last)}\r\n".encode()
    path = job.folder / f"wechat-trade-{job.day}{job.suffix}.csv{'.gz' if job.packed else ''}"
    with path.open("wb") as raw:
        out = gzip.GzipFile("", "wb", 1, raw, mtime=0) if job.packed else raw
        out.write(codecs.BOM_UTF8 + head)
        for chunk in _chunks(job.lines):
            out.write(chunk)
        out.write(tail)
        if job.packed:
            out.close()
    return path


def _alipay(job: _Job) -> Path:
    seller, paid, back = job.number, job.totals.payments, job.totals.refunds
    end = job.day + timedelta(days=1)
    about = (
        f"#账号：[{seller}0156]\r\n"
        f"#起始日期：[{job.day:%Y年%m月%d日} 00:00:00]   终止日期：[{end:%Y年%m月%d日} 00:00:00]\r\n"
    )
    exported = f"#导出时间：[{end:%Y年%m月%d日} 09:30:00]\r\n"
    head = f"#支付宝业务明细查询\r\n{about}#{'-' * 41}业务明细列表{'-' * 40}\r\n{_ALIPAY}\r\n"
    tail = (
        f"#{'-' * 41}业务明细列表结束{'-' * 36}\r\n"
        f"#交易合计：{paid.count}笔，商家实收共{_yuan(paid.settled)}元，商家优惠共{_yuan(paid.borne)}元\r\n"
        f"#退款合计：{back.count}笔，商家实收退款共{_yuan(-back.settled)}元，商家优惠退款共{_yuan(-back.borne)}元\r\n"
        f"{exported}"
    )
    received, fee = paid.settled - back.settled, -(paid.fee + back.fee)
    amounts = (
        paid.ordered - back.ordered, received, paid.prepaid - back.prepaid, paid.borne - back.borne, 0, fee, 0,
        received + fee,
    )  # fmt: skip
    values = ",".join([str(paid.count), str(back.count), *map(_yuan, amounts)])
    summary = (
        f"#支付宝业务汇总查询\r\n{about}#{'-' * 41}业务汇总列表{'-' * 40}\r\n{_ALIPAY_TOTALS}\r\n\t,\t,{values}\r\n"
        f"合计,,{values}\r\n#{'-' * 40}业务汇总列表结束{'-' * 37}\r\n{exported}"
    )
    path = job.folder / f"{seller}0156_{job.day:%Y%m%d}{job.suffix}.zip"
    texts = [f"{seller}0156_{job.day:%Y%m%d}_业务明细{part}.csv" for part in ("", "(汇总)")]
    names = [name.encode("gbk") for name in texts]
    stand_ins = [f"{number}".rjust(len(name), "-") for number, name in enumerate(names)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with _member(archive, stand_ins[0], end) as out:
            out.write(head.encode("gbk"))
            for chunk in _in_gbk(job.lines):
                out.write(chunk)
            out.write(tail.encode("gbk"))
        with _member(archive, stand_ins[1], end) as out:
            out.write(summary.encode("gbk"))
    _rename_members(path, dict(zip(stand_ins, names, strict=True)))
    return path


def _unionpay(job: _Job) -> Path:
    name = f"INN{job.day:%y%m%d}88ZM_{job.number}"
    if not job.packed:
        path = job.folder / f"{name}{job.suffix}"
        with path.open("wb") as plain:
            plain.writelines(_in_gbk(job.lines))
        return path
    path = job.folder / f"{job.number}_{job.day:%Y%m%d}{job.suffix}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with _member(archive, name, job.day) as out:
            for chunk in _in_gbk(job.lines):
                out.write(chunk)
        with _member(archive, name.replace("ZM_", "ZME_"), job.day):
            pass
    return path


def _stripe(job: _Job) -> Path:
    net = {currency.lower(): amount for currency, amount in job.totals.net.items()}
    last = orjson.dumps({"object": "totals", "count": job.totals.count, "net": dict(sorted(net.items()))}) + b"\n"
    path = job.folder / f"stripe-balance-{job.day}{job.suffix}.jsonl"
    with path.open("wb") as out:
        with job.lines.open("rb") as rows:
            shutil.copyfileobj(rows, out, _CHUNK)
        out.write(last)
    return path


_WRITERS: dict[str, Callable[[_Job], Path]] = {
    "wechat": _wechat,
    "alipay": _alipay,
    "unionpay": _unionpay,
    "stripe": _stripe,
}


def _rename_members(path: Path, names: Mapping[str, bytes]) -> None:
    """Give the files of an archive names of the same length in GBK, as Alipay does and the library cannot."""
    with zipfile.ZipFile(path) as archive, path.open("r+b") as file:
        file.seek(archive.start_dir)
        directory = file.read()
        for info in archive.infolist():
            name = names[info.filename]
            file.seek(info.header_offset + 30)
            file.write(name)
            directory = directory.replace(info.filename.encode(), name)
        file.seek(archive.start_dir)
        file.write(directory)


def _member(archive: zipfile.ZipFile, name: str, day: date) -> IO[bytes]:
    info = zipfile.ZipInfo(name, (day.year, day.month, day.day, 9, 30, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(info, "w", force_zip64=True)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _in_gbk(path: Path) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for chunk in _chunks(path):
        yield decoder.decode(chunk).encode("gbk")


def _yuan(amount_minor: int) -> str:
    return to_major(amount_minor, "CNY")
