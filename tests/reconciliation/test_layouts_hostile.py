"""Files that are cut, mixed, wrong in their totals, or made to harm are refused whole; nothing is written of them."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from hutong.channels.errors import BillRefused
from hutong.errors import InvalidParameter
from hutong.reconciliation import layouts
from hutong.reconciliation.normalised import Normalised
from hutong.sandbox.alipay import bill as alipay_sandbox
from hutong.sandbox.bill import Entry
from hutong.sandbox.unionpay import bill as unionpay_sandbox
from hutong.sandbox.wechat import bill as wechat_sandbox

DAY = date(2026, 3, 1)
ENTRIES = [
    Entry(
        kind="payment" if number % 3 else "refund",
        number=f"{'att' if number % 3 else 'ref'}_01h{number:023d}",
        channel_no=f"4{number:020d}",
        order_no=f"att_01h{number:023d}",
        channel_order_no=f"4{number:020d}",
        amount_minor=1000 + number,
        order_amount_minor=1000 + number,
        currency="CNY",
        fee_minor=6 if number % 3 else 0,
        state="SUCCESS",
        at=datetime(2026, 3, 1, 2, tzinfo=UTC) + timedelta(seconds=number),
        description="红茶",
        method="JSAPI",
        data={"txn_type": "01" if number % 3 else "04", "txn_sub_type": "01", "biz_type": "000201",
              "original_time": "0301100000", "created_at": datetime(2026, 3, 1, 2, tzinfo=UTC)},
    )
    for number in range(30)
]  # fmt: skip
WECHAT = wechat_sandbox.write_bill("trade", ENTRIES)
SELLER = alipay_sandbox.SELLER_ID


def alipay() -> bytes:
    rows = [replace(entry, state=alipay_sandbox.PAYMENT if entry.kind == "payment" else alipay_sandbox.REFUND)
            for entry in ENTRIES]  # fmt: skip
    return alipay_sandbox.pack_bill(rows, DAY, datetime(2026, 3, 2, tzinfo=UTC))


def read(name: str, path: Path, day: date | None = DAY, account: str | None = None) -> Normalised:
    out = path.parent / "rows.parquet"
    try:
        result = layouts.normalise(layouts.load(name), [path], out, account=account, day=day)
    except BillRefused:
        assert not out.exists()
        assert not list(path.parent.glob(".layout-*"))
        raise
    counted = duckdb.sql(f"FROM read_parquet('{out}') SELECT count(*)").fetchall()
    assert counted == [(result.rows,)]
    out.unlink()
    return result


def test_bill_cut_at_any_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes(WECHAT)
    assert read("wechat_trade", path).rows == len(ENTRIES)
    for end in range(1, len(WECHAT), len(WECHAT) // 12):
        path.write_bytes(WECHAT[:end])
        with pytest.raises(BillRefused):
            read("wechat_trade", path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda bill: bill.replace(b"`30,`", b"`31,`"), "total: 总交易单数"),
        (lambda bill: bill.replace(b",`10.04,`", b",`10.05,`", 1), "total: "),
        (lambda bill: bill.replace(b",`0.06000,", b",`0.06001,", 1), "total: 手续费总金额"),
        (lambda bill: bill.replace(b",`10.04,`", b",`ten,`", 1), "line 6: its amount"),
        (lambda bill: bill.replace(b"\r\n`2026", b"\n`2026", 1), "as the layout states"),
        (lambda bill: bill + b"`more\r\n", "no totals"),
        (lambda bill: bill.removeprefix(b"\xef\xbb\xbf"), "byte order mark"),
        (lambda bill: bill.replace("商户订单号".encode(), "订单".encode(), 1), "lacks the column 商户订单号"),
        (lambda bill: bill.replace("设备号".encode(), "商户号".encode(), 1), "twice"),
        (lambda bill: bill.replace(b",`1900000109,`", b",`1900000110,`", 1), "another merchant"),
    ],
)  # fmt: skip
def test_wrong_bill_is_refused_with_its_reason(tmp_path: Path, damage: Callable[[bytes], bytes], reason: str) -> None:
    path = tmp_path / "bill.csv"
    merchant = WECHAT.split(b"\r\n")[1].split(b",`")[2]
    damaged = damage(WECHAT.replace(merchant, b"1900000109"))
    assert damaged != WECHAT
    path.write_bytes(damaged)
    with pytest.raises(BillRefused, match=reason):
        read("wechat_trade", path)


def test_bill_of_another_account_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes(WECHAT)
    merchant = WECHAT.split(b"\r\n")[1].split(b",`")[2].decode()
    assert read("wechat_trade", path, account=merchant).merchant == merchant
    with pytest.raises(BillRefused, match="another merchant"):
        read("wechat_trade", path, account="1900000111")
    packed = tmp_path / "bill.zip"
    packed.write_bytes(alipay())
    with pytest.raises(BillRefused, match="another merchant"):
        read("alipay_business_detail", packed, account="2088000000000001")
    with pytest.raises(BillRefused, match="of another account or day"):
        read("alipay_business_detail", packed, day=date(2026, 3, 2))


def test_one_bad_row_is_one_exception_and_its_money_counts(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes(WECHAT.replace(b"`2026-03-01 10:00:05", b"`2026-03-01 10:00:65", 1))
    result = read("wechat_trade", path)
    assert (result.rows, [fault.line for fault in result.exceptions]) == (29, [7])


def test_bill_compressed_or_plain_is_the_same(tmp_path: Path) -> None:
    plain, packed = tmp_path / "bill.csv", tmp_path / "bill.gz"
    plain.write_bytes(WECHAT)
    packed.write_bytes(gzip.compress(WECHAT))
    assert read("wechat_trade", plain) == read("wechat_trade", packed)


def test_day_is_found_in_the_head_or_in_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes(WECHAT)
    assert read("wechat_trade", path, day=None).day == DAY
    path.write_bytes(alipay())
    assert read("alipay_business_detail", path, day=None).day == DAY
    path.write_bytes(unionpay_sandbox.write_bill([replace(entry, state="S22") for entry in ENTRIES]))
    with pytest.raises(InvalidParameter, match="the day of the file must be given"):
        read("unionpay_zm", path, day=None)


def test_bombs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    header, row, *_ = WECHAT.splitlines(keepends=True)
    path.write_bytes(gzip.compress(header + row * 100_000))
    with pytest.raises(BillRefused, match="more than the limit"):
        read("wechat_trade", path)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.csv", bytes(64 << 20))
    with pytest.raises(BillRefused, match="compression ratio"):
        read("alipay_business_detail", path)


def lying_zip(path: Path) -> None:
    """Write a zip whose member is larger than its directory states."""
    path.write_bytes(alipay())
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(bytes(content))


def test_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bill.zip"
    lying_zip(path)
    with pytest.raises(BillRefused):
        read("alipay_business_detail", path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\..\\..\\b", "C:\\b", "x/../../y"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bill.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(name, b"text")
    with pytest.raises(BillRefused, match="leads out of it"):
        read("alipay_business_detail", path)


def test_many_twice_named_and_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bill.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for number in range(20):
            packed.writestr(f"{number}.csv", b"text")
    with pytest.raises(BillRefused, match="too many members"):
        read("alipay_business_detail", path)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.csv", b"text")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("a.csv", b"other")
    with pytest.raises(BillRefused, match="one name twice"):
        read("alipay_business_detail", path)
    content = bytearray(alipay())
    for mark, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BillRefused, match="encrypted"):
        read("alipay_business_detail", path)


def test_zip_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bill.zip"
    content = alipay()
    for end in range(8, len(content), len(content) // 8):
        path.write_bytes(content[:end])
        with pytest.raises(BillRefused):
            read("alipay_business_detail", path, account=SELLER)


def test_rows_of_another_length_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "zm"
    content = unionpay_sandbox.write_bill([replace(entry, state="S22") for entry in ENTRIES])
    path.write_bytes(content)
    assert read("unionpay_zm", path).rows == len(ENTRIES)
    path.write_bytes(content[:1000] + content[1001:])
    with pytest.raises(BillRefused, match="row 2 does not have the length"):
        read("unionpay_zm", path)
