"""WeChat Pay's bills: written byte for byte, read back to the same rows, and refused whole when anything is off."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import Bill, BillRefused, BillRowKind, BillState
from hutong.channels.wechat.bill import RATIO_MAX, read_bill, unpack
from hutong.sandbox.bill import Entry
from hutong.sandbox.wechat.bill import write_bill
from hutong.sandbox.wechat.keys import SP_APPID, SP_MCHID, SUB_MCHID
from hutong.sandbox.wechat.parties import PROVIDER
from support.channel_rigs import Rig

DAY = date(2026, 1, 1)
START = datetime(2025, 12, 31, 16, tzinfo=UTC)
FEES = st.integers(-(10**6), 10**6)
NUMBERS = st.text("0123456789abcdefghjkmnpqrstvwxyz_", min_size=6, max_size=32)


def entry(number: str, **changed: object) -> Entry:
    fields: dict[str, object] = {
        "kind": "payment",
        "number": number,
        "channel_no": "4200001234202601010000000001",
        "order_no": number,
        "channel_order_no": "4200001234202601010000000001",
        "amount_minor": 8800,
        "order_amount_minor": 8800,
        "currency": "CNY",
        "fee_minor": 53,
        "state": "SUCCESS",
        "at": START,
        "description": "糖醋排骨",
        "method": "NATIVE",
        "data": {},
    } | changed
    return Entry(**fields)  # type: ignore[arg-type]


PAID = entry("att_1")
REFUNDED = entry("ref_1", kind="refund", order_no="att_1", channel_no="5030001", amount_minor=100, fee_minor=-1)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def bill(folder: Path, body: bytes, kind: str = "trade") -> Bill:
    path = folder / "bill.csv"
    path.write_bytes(body)
    return Bill(BillState.READY, kind, DAY, (path,))


def test_the_trade_bill_is_byte_for_byte_as_wechat_publishes_it() -> None:
    body = write_bill("trade", [PAID, REFUNDED])
    assert body.startswith("\ufeff交易时间,公众账号ID,商户号,特约商户号,设备号,".encode())
    assert body.endswith(b"\r\n")
    assert body.count(b"\n") == body.count(b"\r\n") == 5
    lines = body.decode("utf-8-sig").split("\r\n")
    assert len(lines[0].split(",")) == len(lines[1].split(",")) == len(lines[2].split(",")) == 27
    assert lines[1].split(",")[6] == "`att_1"
    assert lines[2].split(",")[15] == "`ref_1"
    assert (lines[1].split(",")[22], lines[1].split(",")[24]) == ("`0.53000", "`88.00")
    assert lines[2].split(",")[16] == "`1.00"
    assert lines[3] == "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
    assert lines[4] == "`2,`88.00,`1.00,`0.00,`0.52000,`88.00,`1.00"


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(NUMBERS, st.integers(1, 2**31 - 1), FEES, st.integers(0, 86_399), st.booleans()),
        max_size=30,
    ),
    goods=st.text(max_size=40),
)
def test_every_bill_of_the_simulator_parses_back_to_its_rows(tmp_path_factory, rows, goods: str) -> None:
    written = [
        entry(
            number,
            kind="refund" if refund else "payment",
            amount_minor=amount,
            fee_minor=fee,
            at=START + timedelta(seconds=second),
            description=goods.encode("utf-8", "ignore").decode(),
        )
        for number, amount, fee, second, refund in rows
    ]
    folder = tmp_path_factory.mktemp("bill")
    found = list(read_bill(bill(folder, write_bill("trade", written))))
    assert [(r.our_no, r.amount_minor, r.fee_minor, r.happened_at, r.kind.value) for r in found] == [
        (e.number, e.amount_minor, e.fee_minor, e.at, e.kind) for e in written
    ]
    assert {r.original_no for r in found if r.kind is BillRowKind.PAYMENT} <= {None}


def test_the_fund_flow_bill_tells_every_move(tmp_path: Path) -> None:
    payout = entry("pyo01kanf37x9e8", kind="payout", fee_minor=0, amount_minor=500)
    rows = list(read_bill(bill(tmp_path, write_bill("fund_flow", [PAID, REFUNDED, payout]), "fund_flow")))
    assert [(r.kind, r.our_no, r.amount_minor, r.state) for r in rows] == [
        (BillRowKind.PAYMENT, "att_1", 8800, "收入"),
        (BillRowKind.REFUND, "ref_1", 100, "支出"),
        (BillRowKind.PAYOUT, "pyo_01kanf37x9e8", 500, "支出"),
        (BillRowKind.FEE, "att_1", 53, "支出"),
        (BillRowKind.FEE, "ref_1", 1, "收入"),
    ]


GOOD = write_bill("trade", [PAID, REFUNDED])


@pytest.mark.parametrize(
    "body",
    [
        GOOD[3:],
        GOOD[:-2],
        GOOD[:-1],
        GOOD.replace(b"\r\n", b"\n"),
        GOOD + b"x",
        GOOD.replace(b"`88.00,`1.00,`0.00,`0.52000", b"`88.01,`1.00,`0.00,`0.52000"),
        GOOD.replace(b"`2,`88.00", b"`3,`88.00"),
        GOOD.replace(b"`0.53000", b"`0.53001"),
        GOOD.replace(b"`0.53000", b"`0.53E+0"),
        GOOD.replace(b"`CNY,", b"", 1),
        GOOD.replace("糖醋排骨".encode(), b"x" * 70_000),
        GOOD.replace("订单金额,申请".encode(), "金额,申请".encode()),
        b"\r\n".join(GOOD.split(b"\r\n")[:2] + GOOD.split(b"\r\n")[3:]),
        b"\r\n".join(GOOD.split(b"\r\n")[:3]) + b"\r\n",
        b"",
    ],
    ids=range(15),
)
def test_what_does_not_add_up_or_is_not_whole_is_refused(tmp_path: Path, body: bytes) -> None:
    assert body != GOOD
    with pytest.raises(BillRefused):
        list(read_bill(bill(tmp_path, body)))


BROKEN_TEXTS = ("a,`b", ",`", "a,`b,`c\r\nd", "`,`1.00,`2.00", "a\r\nb,`c")


@pytest.mark.parametrize("text", BROKEN_TEXTS)
def test_a_row_whose_text_separates_values_is_one_exception(tmp_path: Path, text: str) -> None:
    body = GOOD.replace("糖醋排骨".encode(), text.encode(), 1)
    broken, whole = read_bill(bill(tmp_path, body))
    assert (broken.kind, broken.our_no, broken.amount_minor) == (BillRowKind.EXCEPTION, None, 0)
    assert broken.fault is not None
    assert (broken.fault.line_no, text in broken.fault.text) == (2, True)
    assert "values and 27 columns" in broken.fault.reason
    assert whole == list(read_bill(bill(tmp_path, GOOD)))[1]


@pytest.mark.parametrize("text", BROKEN_TEXTS)
def test_the_totals_still_prove_what_surrounds_an_exception(tmp_path: Path, text: str) -> None:
    body = GOOD.replace("糖醋排骨".encode(), text.encode(), 1)
    for changed in (body.replace(b"`2,`88.00", b"`1,`88.00"), body.replace(b"`88.00,`1.00", b"`88.01,`1.00")):
        assert changed != body
        with pytest.raises(BillRefused, match="add up"):
            list(read_bill(bill(tmp_path, changed)))


def test_a_row_with_a_time_or_a_text_that_cannot_be_read_is_one_exception(tmp_path: Path) -> None:
    for old, new, reason in (
        (b"2026-01-01 00:00:00", b"2026-13-01 00:00:00", "a time of the bill cannot be read"),
        ("糖醋排骨".encode(), "糖醋排骨".encode("gbk"), "it is not UTF-8"),
    ):
        broken, whole = read_bill(bill(tmp_path, GOOD.replace(old, new, 1)))
        assert broken.fault is not None
        assert (broken.fault.reason, broken.fault.line_no, whole.our_no) == (reason, 2, "ref_1")
        broken.fault.text.encode()


def test_a_text_with_a_line_end_alone_breaks_nothing(tmp_path: Path) -> None:
    body = GOOD.replace("糖醋排骨".encode(), "糖醋\r\n排骨".encode())
    assert list(read_bill(bill(tmp_path, body))) == list(read_bill(bill(tmp_path, GOOD)))


def test_an_empty_bill_has_no_rows(tmp_path: Path) -> None:
    assert list(read_bill(Bill(BillState.EMPTY, "trade", DAY))) == []
    for state in (BillState.NOT_READY, BillState.UNKNOWN, BillState.REFUSED):
        with pytest.raises(BillRefused):
            list(read_bill(Bill(state, "trade", DAY)))


def test_a_packed_bill_is_unpacked_and_hashed(tmp_path: Path) -> None:
    for packed in (gzip.compress(GOOD), GOOD):
        (tmp_path / "packed").write_bytes(packed)
        wanted = hashlib.sha1(GOOD, usedforsecurity=False).hexdigest()
        assert unpack(tmp_path / "packed", tmp_path / "out") == wanted
        assert (tmp_path / "out").read_bytes() == GOOD


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"0" * (RATIO_MAX * 30_000)),
        gzip.compress(GOOD)[:-9],
        gzip.compress(GOOD)[:-1] + b"\xff",
        b"\x1f\x8b" + b"\0" * 100,
    ],
    ids=["bomb", "cut", "length", "garbage"],
)
def test_a_bomb_or_a_damaged_pack_is_refused(tmp_path: Path, packed: bytes) -> None:
    (tmp_path / "packed").write_bytes(packed)
    with pytest.raises(BillRefused):
        unpack(tmp_path / "packed", tmp_path / "out")


@pytest.mark.parametrize("rig", ["wechat"], indirect=True)
async def test_a_bill_that_is_not_what_the_hash_names_is_refused_and_leaves_nothing(
    rig: Rig, tmp_path: Path, now
) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    day = (now + timedelta(hours=8)).date()
    await rig.control.post("bill", day=day.isoformat())
    await rig.next("download", "malformed")
    with pytest.raises(BillRefused):
        await rig.channel.download_bill("trade", day, tmp_path, now=now)
    assert files(tmp_path) == []
    await rig.next("download", "dropped", times=2)
    bill = await rig.channel.download_bill("trade", day, tmp_path, now=now)
    assert (bill.state, bill.channel_code) == (BillState.UNKNOWN, "no_answer")
    assert (await rig.channel.download_bill("trade", day, tmp_path, now=now)).state is BillState.READY


@pytest.mark.parametrize("rig", ["wechat"], indirect=True)
@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("NO_STATEMENT_EXIST", BillState.EMPTY),
        ("STATEMENT_CREATING", BillState.NOT_READY),
        ("NO_AUTH", BillState.REFUSED),
        ("SYSTEM_ERROR", BillState.UNKNOWN),
        ("NEVER_SEEN", BillState.UNKNOWN),
    ],
)
async def test_a_missing_bill_has_a_reason(rig: Rig, tmp_path: Path, code: str, state: BillState, now) -> None:
    await rig.next("bill", "error", status=400, code=code)
    bill = await rig.channel.download_bill("trade", now.date() - timedelta(days=3), tmp_path, now=now)
    assert (bill.state, bill.channel_code) == (state, code)


@pytest.mark.parametrize("rig", ["wechat"], indirect=True)
async def test_that_there_is_no_bill_means_nothing_before_it_would_have_been_made(
    rig: Rig, tmp_path: Path, now
) -> None:
    await rig.next("bill", "error", status=400, code="NO_STATEMENT_EXIST")
    bill = await rig.channel.download_bill("trade", (now + timedelta(hours=8)).date(), tmp_path, now=now)
    assert bill.state is BillState.NOT_READY


def test_a_row_of_another_merchant_is_an_exception(tmp_path: Path) -> None:
    rows = [replace(row, data={"party": PROVIDER}) for row in (PAID, REFUNDED)]
    body = write_bill("partner_trade", rows)
    assert f"`{SP_APPID},`{SP_MCHID},`{SUB_MCHID},".encode() in body
    (path := tmp_path / "bill.csv").write_bytes(body)
    bill = Bill(BillState.READY, "trade", date(2026, 1, 1), (path,))
    assert [row.kind for row in read_bill(bill, SUB_MCHID)] == [BillRowKind.PAYMENT, BillRowKind.REFUND]
    foreign = list(read_bill(bill, "1900000999"))
    assert [row.kind for row in foreign] == [BillRowKind.EXCEPTION] * 2
    assert {row.fault and row.fault.reason for row in foreign} == {"a row is another merchant's"}
