"""UnionPay's daily file: fetched, unpacked and read back to the same rows, or refused as a whole."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import tracemalloc
import zipfile
import zlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import Bill, BillRefused, BillRowKind, BillState, ChannelState
from hutong.channels.unionpay.bill import ROW_LENGTH, WIDTHS, read_bill, unpack
from hutong.channels.unionpay.credentials import UnionPayCredentials
from hutong.channels.unionpay.requests import settle_date
from hutong.channels.unionpay.responses import to_our_number
from hutong.sandbox.bill import Entry, plant
from hutong.sandbox.unionpay.bill import pack_bill, write_bill
from hutong.sandbox.unionpay.keys import UnionPaySandboxKeys
from support.channel_rigs import Rig, order_of

DAY = date(2026, 1, 1)
AT = datetime(2026, 1, 1, 4, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def credentials(sandbox_folder: Path) -> UnionPayCredentials:
    raw = UnionPaySandboxKeys.load(sandbox_folder / "unionpay").credentials("http://127.0.0.1:1")
    return UnionPayCredentials.model_validate(raw, context={"sandbox": True})


def entry(**changed: Any) -> Entry:
    fields: dict[str, Any] = {
        "kind": "payment",
        "number": "att01kas0000000000000000000zz",
        "channel_no": "176721120000000000001",
        "order_no": "att01kas0000000000000000000zz",
        "channel_order_no": "176721120000000000001",
        "amount_minor": 8800,
        "order_amount_minor": 8800,
        "currency": "CNY",
        "fee_minor": 52,
        "state": "S22",
        "at": AT,
        "description": "",
        "method": "07",
        "data": {"txn_type": "01", "txn_sub_type": "07", "biz_type": "000000"},
    } | changed
    return Entry(**fields)


def refund_entry(**changed: Any) -> Entry:
    data = {"txn_type": "04", "txn_sub_type": "00", "biz_type": "000000", "original_time": "0101120000"}
    number = "ref01kas0000000000000000000zz"
    return entry(**{"kind": "refund", "number": number, "state": "S30", "fee_minor": -52, "data": data, **changed})


def rows_of(rows: bytes, credentials: UnionPayCredentials, folder: Path) -> list[Any]:
    path = folder / "bill"
    path.write_bytes(rows)
    return list(read_bill(Bill(BillState.READY, "trade", DAY, (path,)), credentials))


def packed(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> str:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return base64.b64encode(zlib.compress(target.getvalue())).decode()


def test_a_row_is_607_bytes_and_the_number_stands_at_112() -> None:
    assert ROW_LENGTH == 607
    row = write_bill([entry()])
    assert len(row) == 608
    assert row[112:144].decode().strip() == "att01kas0000000000000000000zz"
    assert len(WIDTHS) == 42


def test_a_payment_and_a_refund_are_read(credentials, tmp_path: Path) -> None:
    payment, refund = rows_of(write_bill([entry(), refund_entry(amount_minor=3000)]), credentials, tmp_path)
    assert payment.kind is BillRowKind.PAYMENT
    assert (payment.our_no, payment.channel_no) == ("att_01kas0000000000000000000zz", "176721120000000000001")
    assert (payment.amount_minor, payment.currency, payment.fee_minor) == (8800, "CNY", 52)
    assert (payment.state, payment.happened_at, payment.settle_date) == ("S22", AT, DAY)
    assert (refund.kind, refund.our_no) == (BillRowKind.REFUND, "ref_01kas0000000000000000000zz")
    assert (refund.amount_minor, refund.fee_minor, refund.state) == (3000, -52, "S30")


@settings(max_examples=40, deadline=None)
@given(
    drawn=st.lists(
        st.tuples(
            st.booleans(),
            st.from_regex("[0-9a-z]{26}", fullmatch=True),
            st.integers(0, 10**11),
            st.integers(-(10**6), 10**6),
            st.integers(0, 86_399),
        ),
        max_size=8,
    )
)
def test_every_bill_is_read_back_to_its_rows(credentials, tmp_path_factory: pytest.TempPathFactory, drawn) -> None:
    entries = [
        (entry if is_payment else refund_entry)(
            number=("att" if is_payment else "ref") + suffix,
            amount_minor=amount,
            fee_minor=fee,
            at=AT - timedelta(hours=13) + timedelta(seconds=second),
        )
        for is_payment, suffix, amount, fee, second in drawn
    ]
    found = rows_of(write_bill(entries), credentials, tmp_path_factory.mktemp("bill"))
    assert [
        (row.kind.value, (row.our_no or "").replace("_", ""), row.amount_minor, row.fee_minor, row.happened_at)
        for row in found
    ] == [(made.kind, made.number, made.amount_minor, made.fee_minor, made.at) for made in entries]


def test_the_turn_of_the_year_is_read(credentials, tmp_path: Path) -> None:
    before = datetime(2025, 12, 31, 15, 30, tzinfo=UTC)  # 23:30 in Beijing, which is the clearing day of January 1
    assert rows_of(write_bill([entry(at=before)]), credentials, tmp_path)[0].happened_at == before


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row[:-2],
        lambda row: row[:300],
        lambda row: row + row[:-2],
        lambda row: row[:-1] + b" \n",
        lambda row: row[:100] + row[101:],
        lambda row: row.replace(b" 000000008800", b"00000000 8800"),
        lambda row: row.replace(b"777290058110048", b"777290058110097"),
        lambda row: row.decode("gbk").encode(),
        lambda row: row + b"\n",
        lambda row: b"header\n" + row,
    ],
)
def test_what_is_not_of_the_layout_refuses_the_whole(credentials, tmp_path: Path, change) -> None:
    row = write_bill([entry()])
    altered = change(row)
    assert altered != row
    with pytest.raises(BillRefused):
        rows_of(altered + row if altered.endswith(b"\n") else altered, credentials, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.replace(b"000000008800", b"00000000880x"),
        lambda row: row.replace(b"D000000000052", b"X000000000052"),
        lambda row: row.replace(b"D000000000052", b"D 00000000052"),
        lambda row: row.replace(b" 0101120000", b" 0231120000"),
        lambda row: row.replace(b" 0101120000", b" 0601120000"),
        lambda row: row.replace("互通沙箱".encode("gbk"), b"\xff" * 8),
    ],
)
def test_a_row_with_a_field_of_another_form_is_one_exception(credentials, tmp_path: Path, change) -> None:
    row = write_bill([entry()])
    broken, whole = rows_of(change(row) + row, credentials, tmp_path)
    assert broken.fault is not None
    assert (broken.kind.value, broken.our_no, broken.fault.line_no) == ("exception", None, 1)
    assert broken.fault.reason
    assert [whole] == rows_of(row, credentials, tmp_path)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n", b"\n\r\n  \n"])
def test_a_file_may_end_with_an_empty_line_or_without_a_line_end(credentials, tmp_path: Path, end: bytes) -> None:
    rows = write_bill([entry(), entry()])
    assert len(rows_of(rows.removesuffix(b"\n") + end, credentials, tmp_path)) == 2


def test_how_rows_are_read_is_configuration(credentials, tmp_path: Path) -> None:
    row = write_bill([entry()]).replace(b"D000000000052", b"C000000000052").replace(b"\n", b"\r\n")
    assert rows_of(row, credentials, tmp_path)[0].fee_minor == -52
    bill = credentials.bill.model_copy(update={"debit": "C", "credit": "D", "kinds": {"01": "other"}})
    (found,) = rows_of(row, credentials.model_copy(update={"bill": bill}), tmp_path)
    assert (found.fee_minor, found.kind) == (52, BillRowKind.OTHER)


def test_an_archive_is_unpacked(tmp_path: Path) -> None:
    rows = write_bill([entry()])
    files = unpack(pack_bill(rows, DAY)[0], tmp_path)
    assert [file.name for file in files] == ["INN26010188ZM_777290058110048", "INN26010188ZME_777290058110048"]
    assert files[0].read_bytes() == rows
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_names_of_files_may_have_an_ending(tmp_path: Path) -> None:
    """As in the archives that public clients describe: some name the files with it, some without."""
    names = ["INN24031100ZM_777290058110048.txt", "INN24031100ZME_777290058110048.txt"]
    files = unpack(packed([(name, b"") for name in names]), tmp_path)
    assert [file.name for file in files] == names


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not base64!",
        packed([("INN24031100ZM_777290058110048.exe", b"")]),
        packed([("INN24031100ZM_1", b""), ("INN24031100ZM_1.txt", b"")]),
        base64.b64encode(b"not packed").decode(),
        base64.b64encode(zlib.compress(b"not a zip")).decode(),
        base64.b64encode(zlib.compress(b"x" * 100)[:-3]).decode(),
        base64.b64encode(zlib.compress(b"\0" * (80 << 20), 9)).decode(),
        packed([]),
        packed([("INN26010188ZME_777290058110048", b"")]),
        packed([("../INN26010188ZM_777290058110048", b"")]),
        packed([("INN26010188ZM_1", b""), ("INN26010188ZM_2", b"")]),
        packed([("INN26010188ZM_777290058110048", b" " * (4 << 20))]),
        packed([(f"f{number}", b"") for number in range(17)]),
    ],
    ids=[
        "empty",
        "no base64",
        "another ending",
        "both endings",
        "not packed",
        "not a zip",
        "cut off",
        "too large",
        "no members",
        "no ZM file",
        "a path",
        "two ZM files",
        "a bomb",
        "many members",
    ],
)
def test_what_is_no_bills_archive_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(BillRefused):
        unpack(content, tmp_path)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_broken_archive_never_crashes(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    whole = zlib.decompress(base64.b64decode(pack_bill(write_bill([entry()]), DAY)[0]))
    position = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:position] + data.draw(st.binary(max_size=8)) + whole[data.draw(st.integers(position, len(whole))) :]
    with contextlib.suppress(BillRefused):
        unpack(base64.b64encode(zlib.compress(broken)).decode(), tmp_path_factory.mktemp("bill"))


def test_rows_are_read_one_after_another(credentials, tmp_path: Path) -> None:
    path = tmp_path / "bill"
    path.write_bytes(write_bill([entry()]) * 2_000)
    tracemalloc.start()
    count = sum(1 for _ in read_bill(Bill(BillState.READY, "trade", DAY, (path,)), credentials))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2_000
    assert peak < 2 << 20


@pytest.mark.parametrize("rig", ["unionpay"], indirect=True)
async def test_the_bill_of_a_day_is_fetched_and_read(rig: Rig, now, tmp_path: Path) -> None:
    placed = []
    for _ in range(3):
        request = rig.request(now)
        await rig.channel.pay(request, now=now)
        await rig.pay(request)
        placed.append(order_of(request))
    assert (await rig.channel.query(placed[0], now=now)).state is ChannelState.SUCCEEDED
    day = settle_date(now, 23)
    await rig.control.post("bill", day=day.isoformat())  # what an earlier test has planted in this day's bill goes
    bill = await rig.channel.download_bill("trade", day, tmp_path, now=now)
    assert (bill.state, bill.day, len(bill.files)) == (BillState.READY, day, 2)
    rows = {row.our_no: row for row in rig.channel.read_bill(bill)}
    assert {order.attempt_no for order in placed} <= rows.keys()
    assert rows[placed[0].attempt_no].fee_minor == 52
    assert all(row.settle_date == day for row in rows.values())


@pytest.mark.parametrize("rig", ["unionpay"], indirect=True)
async def test_a_day_without_a_file_is_empty_once_files_are_made(rig: Rig, now, tmp_path: Path) -> None:
    day = settle_date(now, 23) - timedelta(days=20)
    bill = await rig.channel.download_bill("trade", day, tmp_path, now=now)
    assert (bill.state, bill.channel_code) == (BillState.EMPTY, "98")
    assert list(rig.channel.read_bill(bill)) == []
    await rig.next("bill", "error", code="98")
    early = await rig.channel.download_bill("trade", settle_date(now, 23), tmp_path, now=now)
    assert early.state is BillState.NOT_READY


@pytest.mark.parametrize("rig", ["unionpay"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "code", "state"),
    [
        ("unsigned", None, BillState.UNKNOWN),
        ("bad_signature", None, BillState.UNKNOWN),
        ("stale", None, BillState.UNKNOWN),
        ("malformed", None, BillState.UNKNOWN),
        ("dropped", None, BillState.UNKNOWN),
        ("error", "32", BillState.REFUSED),
        ("error", "03", BillState.UNKNOWN),
        ("error", "NEVER_SEEN", BillState.UNKNOWN),
    ],
)
async def test_no_bill_is_made_of_what_is_not_proven(rig: Rig, now, tmp_path: Path, kind, code, state) -> None:
    await rig.next("bill", kind, **({"code": code} if code else {}))
    bill = await rig.channel.download_bill("trade", settle_date(now, 23), tmp_path, now=now)
    assert (bill.state, bill.files) == (state, ())
    assert bill.channel_code
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("rig", ["unionpay"], indirect=True)
async def test_planted_differences_stand_in_the_bill_and_in_the_answer_key(rig: Rig, now, tmp_path: Path) -> None:
    for _ in range(4):
        request = rig.request(now)
        await rig.channel.pay(request, now=now)
        await rig.pay(request)
    day = settle_date(now, 23)
    wanted = {"amount": 1, "extra": 1, "missing": 1}
    results = await rig.control.post("bill", kind="trade", day=day.isoformat(), differences=wanted)
    key = {line["class"]: line for line in results["key"]}
    numbers = {kind: to_our_number(line["number"]) or line["number"] for kind, line in key.items()}
    bill = await rig.channel.download_bill("trade", day, tmp_path, now=now)
    rows = {row.our_no: row for row in rig.channel.read_bill(bill)}
    assert rows[numbers["amount"]].amount_minor == key["amount"]["said"]["amount_minor"]
    assert numbers["missing"] not in rows
    assert numbers["extra"] in rows


@pytest.mark.parametrize("rig", ["unionpay"], indirect=True)
async def test_the_time_of_a_transaction_is_that_of_its_order_whenever_it_is_paid(
    rig: Rig, now, tmp_path: Path
) -> None:
    request = rig.request(now, placed_at=now - timedelta(seconds=7))
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    placed = request.placed_at.replace(microsecond=0)
    assert (await rig.channel.query(order_of(request), now=now)).happened_at == placed
    day = settle_date(now, 23)
    # Nothing that other tests have planted.
    await rig.control.post("bill", kind="trade", day=day.isoformat(), differences={})
    bill = await rig.channel.download_bill("trade", day, tmp_path, now=now)
    assert {row.our_no: row for row in rig.channel.read_bill(bill)}[request.attempt_no].happened_at == placed


def test_planted_differences_of_time_and_of_the_largest_amount_are_written(
    credentials: UnionPayCredentials, tmp_path: Path
) -> None:
    largest = entry(amount_minor=10**12 - 1)
    for name in ("amount", "cross_day"):
        planted, (line,) = plant([largest], {name: 1}, seed=1, odd_state="S99")
        (row,) = rows_of(write_bill(planted), credentials, tmp_path)
        assert line["said"] is not None
        assert row.happened_at is not None
        assert (row.amount_minor, row.happened_at.isoformat()) == (line["said"]["amount_minor"], line["said"]["at"])
        assert line["said"] != line["true"]
