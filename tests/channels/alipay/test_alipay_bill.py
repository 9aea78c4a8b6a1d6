"""Alipay's bill: what the channel delivers is read back to the same rows, and what does not add up is refused whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import Bill, BillRefused, BillRow, BillRowKind, BillState, Http
from hutong.channels.alipay.bill import read_bill
from hutong.errors import InvalidParameter
from hutong.sandbox.alipay import bill as alipay_bill
from hutong.sandbox.alipay.keys import SELLER_ID
from hutong.sandbox.bill import Entry
from support.fixtures.alipay import AlipayWorld, alipay_world

DAY = date(2026, 3, 10)
AT = datetime(2026, 3, 11, 2, 0, tzinfo=UTC)


@pytest.fixture
async def world(sandbox_folder: Path, http: Http) -> AsyncIterator[AlipayWorld]:
    async with alipay_world(sandbox_folder / "alipay", http) as made:
        yield made


def entry(number: int, *, kind: str = "payment", minor: int = 8800, fee: int = 53, text: str = "糖醋排骨") -> Entry:
    order_no = f"att_{number:026d}"
    refund = kind == "refund"
    return Entry(
        kind=kind,
        number=f"ref_{number:026d}" if refund else order_no,
        channel_no=f"2026{number:024d}",
        order_no=order_no,
        channel_order_no=f"2026{number:024d}",
        amount_minor=minor,
        order_amount_minor=minor,
        currency="CNY",
        fee_minor=-fee if refund else fee,
        state=alipay_bill.REFUND if refund else alipay_bill.PAYMENT,
        at=datetime(2026, 3, 10, 4, number % 60, tzinfo=UTC),
        description=text,
        method="alipay.trade.precreate",
        data={"created_at": datetime(2026, 3, 10, 3, 59, tzinfo=UTC)},
    )


ENTRIES = [entry(1), entry(2, minor=1, fee=0), entry(1, kind="refund", minor=100, fee=1)]


def row(made: Entry) -> BillRow:
    refund = made.kind == "refund"
    return BillRow(
        BillRowKind(made.kind),
        made.number,
        made.channel_no,
        made.order_no if refund else None,
        made.amount_minor,
        "CNY",
        made.fee_minor,
        made.state,
        made.at,
        original_channel_no=made.channel_order_no if refund else None,
    )


def keep(folder: Path, body: bytes) -> Bill:
    path = folder / "bill.zip"
    path.write_bytes(body)
    return Bill(BillState.READY, "trade", DAY, (path,))


def refused(folder: Path, body: bytes, *, seller_id: str = SELLER_ID) -> str:
    with pytest.raises(BillRefused) as caught:
        list(read_bill(keep(folder, body), seller_id))
    return caught.value.detail


def repack(body: bytes, change: Callable[[bytes], bytes], *, which: int = 0) -> bytes:
    """The same bill with one of its files changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for number, member in enumerate(old.infolist()):
            content = old.read(member)
            new.writestr(f"{number}.csv", change(content) if number == which else content)
    return buffer.getvalue()


PACKED = alipay_bill.pack_bill(ENTRIES, DAY, AT)


def test_the_layout_is_alipays_byte_for_byte() -> None:
    lines = alipay_bill.bill_rows(ENTRIES, DAY, AT).decode("gbk").split("\r\n")
    assert lines[0] == "#支付宝业务明细查询"
    assert lines[1] == f"#账号：[{SELLER_ID}0156]"
    assert lines[2] == "#起始日期：[2026年03月10日 00:00:00]   终止日期：[2026年03月11日 00:00:00]"
    assert lines[3] == "#-----------------------------------------业务明细列表----------------------------------------"
    assert len(lines[4].split(",")) == 25
    assert lines[5] == (
        "2026000000000000000000000001\t,att_00000000000000000000000001\t,交易,糖醋排骨,2026-03-10 11:59:00,"
        "2026-03-10 12:01:00,\t,\t,\t,\t,*某(159****5620)\t,88.00,88.00,0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,\t,"
        "-0.53,0.00,糖醋排骨"
    )
    assert lines[7].split(",")[11:14] == ["-1.00", "-1.00", "0.00"]
    assert lines[7].split(",")[21:23] == ["ref_00000000000000000000000001\t", "0.01"]
    assert lines[8] == "#-----------------------------------------业务明细列表结束------------------------------------"
    assert lines[9] == "#交易合计：2笔，商家实收共88.01元，商家优惠共0.00元"
    assert lines[10] == "#退款合计：1笔，商家实收退款共-1.00元，商家优惠退款共0.00元"
    assert lines[11:] == ["#导出时间：[2026年03月11日 10:00:00]", ""]
    with zipfile.ZipFile(io.BytesIO(PACKED), metadata_encoding="gbk") as packed:
        stem = f"{SELLER_ID}0156_20260310_业务明细"
        assert packed.namelist() == [f"{stem}.csv", f"{stem}(汇总).csv"]


def test_a_bill_is_read_back_to_the_same_rows(tmp_path: Path) -> None:
    assert list(read_bill(keep(tmp_path, PACKED), SELLER_ID)) == [row(made) for made in ENTRIES]


texts = st.text(st.characters(codec="gbk", exclude_categories=["C", "Z"]), max_size=20)
entries = st.lists(
    st.builds(
        entry,
        st.integers(0, 10**6),
        kind=st.sampled_from(["payment", "refund"]),
        minor=st.integers(1, 10**10),
        fee=st.integers(0, 10**7),
        text=texts | st.sampled_from(['"', 'a"b', "\\", "#", "`", "纔x兒"]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(made=entries)
def test_whatever_stands_in_a_bill_is_read_back(tmp_path_factory, made: list[Entry]) -> None:
    packed = alipay_bill.pack_bill(made, DAY, AT)
    folder = tmp_path_factory.getbasetemp()
    assert list(read_bill(keep(folder, packed), SELLER_ID)) == [row(one) for one in made]


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(alipay_bill.bill_rows(ENTRIES, DAY, AT)) - 1), other=st.integers(0, 255))
def test_a_changed_byte_never_adds_or_drops_a_row_unnoticed(tmp_path_factory, position: int, other: int) -> None:
    body = bytearray(alipay_bill.bill_rows(ENTRIES, DAY, AT))
    body[position] = other
    bill = keep(tmp_path_factory.getbasetemp(), repack(PACKED, lambda _: bytes(body)))
    try:
        rows = list(read_bill(bill, SELLER_ID))
    except BillRefused:
        return
    payments = [one.amount_minor for one in rows if one.kind is BillRowKind.PAYMENT]
    exceptions = [one for one in rows if one.fault is not None]
    assert len(payments) + len(exceptions) <= len(rows) == len(ENTRIES)
    for one, made in zip(rows, ENTRIES, strict=True):
        assert one.kind in (BillRowKind(made.kind), BillRowKind.EXCEPTION)


def edit(old: str, new: str) -> bytes:
    def change(content: bytes) -> bytes:
        assert old.encode("gbk") in content
        return content.replace(old.encode("gbk"), new.encode("gbk"), 1)

    return repack(PACKED, change)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("88.00,88.00,0.00", "88.00,88.01,0.00", "add up"),
        ("88.00,88.00,0.00", "88.00,87.99,0.00", "add up"),
        ("#交易合计：2笔", "#交易合计：3笔", "add up"),
        ("共-1.00元", "共-1.01元", "add up"),
        ("#交易合计", "交易合计", "add up"),
        (f"[{SELLER_ID}0156]", "[20880000000000000156]", "seller"),
        ("2026年03月10日", "2026年03月09日", "day"),
        ("商户订单号", "订单号", "columns"),
        ("商品名称", "商户订单号", "columns"),
        ("交易,糖醋排骨", "交易", "columns"),
        (",88.00,88.00", ",88.00", "columns"),
        ("88.00,88.00", "88.00,8800e-2", "amount"),
        ("#导出时间", "导出时间", "cut off"),
        ("#支付宝业务明细查询", "#支付宝账务明细查询", "missing"),
    ],
)
def test_what_does_not_add_up_is_refused_whole(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert why in refused(tmp_path, edit(old, new))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("糖醋排骨", "糖醋,排骨", "26 values and 25 columns"),
        ("0.00,糖醋排骨", "0.00,糖醋,排,骨", "27 values and 25 columns"),
        ("0.00,,0.00", "0.00,满减,券,0.00", "26 values and 25 columns"),
        ("糖醋排骨", "糖醋,\n排\r\n骨", "26 values and 25 columns"),
        ("88.00,88.00", "8800e-2,88.00", "an amount of the bill cannot be read"),
        ("88.00,88.00", "-88.00,88.00", "an amount of the bill has the wrong sign"),
    ],
)
def test_a_row_that_cannot_be_read_is_one_exception(tmp_path: Path, old: str, new: str, reason: str) -> None:
    changed = edit(old, new)
    broken, *whole = read_bill(keep(tmp_path, changed), SELLER_ID)
    assert broken.fault is not None
    assert (broken.kind, broken.fault.line_no) == (BillRowKind.EXCEPTION, 6)
    assert reason in broken.fault.reason
    assert new in broken.fault.text
    assert whole == [row(made) for made in ENTRIES[1:]]
    for total in ("#交易合计：2笔", "商家实收共88.01元"):
        other = total.replace("2", "1").replace("88.01", "88.02")
        again = repack(changed, lambda c, t=total, o=other: c.replace(t.encode("gbk"), o.encode("gbk")))
        assert "add up" in refused(tmp_path, again)


def test_a_text_that_is_not_in_gbk_is_one_exception(tmp_path: Path) -> None:
    changed = repack(PACKED, lambda c: c.replace("糖醋排骨".encode("gbk"), b"\x80\xff!", 1))
    broken, *whole = read_bill(keep(tmp_path, changed), SELLER_ID)
    assert broken.fault is not None
    assert broken.fault.reason == "it is not in GBK"
    assert whole == [row(made) for made in ENTRIES[1:]]


def test_a_row_more_or_less_is_refused(tmp_path: Path) -> None:
    def without(content: bytes) -> bytes:
        lines = content.split(b"\r\n")
        return b"\r\n".join(lines[:5] + lines[6:])

    assert "add up" in refused(tmp_path, repack(PACKED, without))
    swapped = alipay_bill.bill_summary(ENTRIES[:1], DAY, AT)
    assert "summary" in refused(tmp_path, repack(PACKED, lambda _: swapped, which=1))


def test_a_bill_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    body = alipay_bill.bill_rows(ENTRIES, DAY, AT)
    for end in range(0, len(body), 11):
        refused(tmp_path, repack(PACKED, lambda _, end=end: body[:end]))
    for end in range(0, len(PACKED), 41):
        refused(tmp_path, PACKED[:end])


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16", "big5hkscs"):
        changed = repack(PACKED, lambda c, e=encoding: c.decode("gbk").encode(e, "replace"))
        refused(tmp_path, changed)
    assert "cut off" in refused(tmp_path, repack(PACKED, lambda c: c.replace(b"\r\n", b"\n")))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb.csv", b"0" * (16 << 20))
    assert "ratio" in refused(tmp_path, buffer.getvalue())
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as packed:
        for number in range(9):
            packed.writestr(f"{number}.csv", b"x")
    assert "larger" in refused(tmp_path, many.getvalue())
    assert "too long" in refused(tmp_path, repack(PACKED, lambda c: c[:-2] + bytes(range(256)) * 80 + b"\r\n"))


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    for body in (b"", b"PK", b"<html>", bytes(range(256)) * 40):
        refused(tmp_path, body)
    flipped = bytearray(PACKED)
    flipped[80] ^= 1
    refused(tmp_path, bytes(flipped))


# The way it is fetched.


async def day_of_business(world: AlipayWorld) -> list[tuple[str, int]]:
    """Two payments and a refund; returns numbers and amounts."""
    first, second = await world.paid(), await world.paid(1)
    refund = world.refund(first, 100)
    world.clock.advance(timedelta(minutes=5))
    await world.channel().refund(refund, now=world.clock.now())
    return [(first.attempt_no, 8800), (second.attempt_no, 1), (refund.refund_no, 100)]


@pytest.mark.parametrize("certificate_mode", [False, True])
async def test_the_bill_of_a_day_is_fetched_and_holds_what_happened(
    world: AlipayWorld, tmp_path: Path, certificate_mode: bool
) -> None:
    happened = await day_of_business(world)
    channel, now = world.channel(certificate_mode=certificate_mode), world.clock.advance(timedelta(days=1))
    bill = await channel.download_bill("trade", DAY, tmp_path, now=now)
    assert (bill.state, bill.day) == (BillState.READY, DAY)
    rows = list(channel.read_bill(bill))
    assert [(found.our_no, found.amount_minor) for found in rows] == happened
    assert [found.fee_minor for found in rows] == [53, 0, -1]
    assert rows[2].original_no == happened[0][0]


async def test_the_bill_of_today_is_not_ready_and_of_a_quiet_day_is_empty(world: AlipayWorld, tmp_path: Path) -> None:
    channel, now = world.channel(), world.clock.now()
    assert (await channel.download_bill("trade", DAY, tmp_path, now=now)).state is BillState.NOT_READY
    early = world.clock.advance(timedelta(hours=23, minutes=59))
    assert (await channel.download_bill("trade", DAY, tmp_path, now=early)).state is BillState.NOT_READY
    at_ten = world.clock.advance(timedelta(minutes=1))
    assert (await channel.download_bill("trade", DAY, tmp_path, now=at_ten)).state is BillState.EMPTY


def files_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_an_address_without_proof_is_not_followed(world: AlipayWorld, tmp_path: Path) -> None:
    await day_of_business(world)
    now = world.clock.advance(timedelta(days=1))
    await world.control("next", interface="bill", kind="bad_signature")
    bill = await world.channel().download_bill("trade", DAY, tmp_path, now=now)
    assert (bill.state, bill.channel_code) == (BillState.UNKNOWN, "bad_signature")
    assert files_of(tmp_path) == []


async def test_an_address_serves_once(world: AlipayWorld, tmp_path: Path) -> None:
    await day_of_business(world)
    now = world.clock.advance(timedelta(days=1))
    await world.channel().download_bill("trade", DAY, tmp_path, now=now)
    assert world.simulator._bills == {}
    node = world.simulator._bill_address(
        {"bill_type": "trade", "bill_date": DAY.isoformat(), "_origin": world.url}, {}
    )("")
    world.clock.advance(timedelta(seconds=31))
    async with world.session.get(node["bill_download_url"]) as reply:
        assert reply.status == 403


async def test_a_planted_difference_stands_in_the_bill(world: AlipayWorld, tmp_path: Path) -> None:
    happened = await day_of_business(world)
    now = world.clock.advance(timedelta(days=1))
    wanted = {"missing": 1, "amount": 1, "extra": 1}
    results = await world.control("bill", day=DAY.isoformat(), seed=7, differences=wanted)
    assert sorted(one["class"] for one in results["key"]) == ["amount", "extra", "missing"]
    channel = world.channel()
    rows = list(channel.read_bill(await channel.download_bill("trade", DAY, tmp_path, now=now)))
    assert len(rows) == len(happened) == results["rows"]
    assert [(found.our_no, found.amount_minor) for found in rows] != happened


async def test_a_bill_of_another_kind_is_not_asked_for(world: AlipayWorld, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter):
        await world.channel().download_bill("fund_flow", DAY, tmp_path, now=world.clock.now())
