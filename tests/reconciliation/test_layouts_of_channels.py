"""The layouts of the four channels read what the adapters' own readers read: those are the referee."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong.channels.alipay import bill as alipay
from hutong.channels.bill import Bill, BillRow, BillState
from hutong.channels.errors import BillRefused
from hutong.channels.stripe import bill as stripe
from hutong.channels.unionpay import bill as unionpay
from hutong.channels.unionpay.credentials import BillSettings
from hutong.channels.wechat import bill as wechat
from hutong.reconciliation import layouts
from hutong.reconciliation.normalised import Normalised
from hutong.sandbox.alipay import bill as alipay_sandbox
from hutong.sandbox.bill import Entry
from hutong.sandbox.unionpay import bill as unionpay_sandbox
from hutong.sandbox.wechat import bill as wechat_sandbox
from reconciliation.bill_entries import DAY, entries

COLUMNS = 'kind, key, channel_no, original_key, currency, ordered, paid, settled, fee, "at", settle_day'
few = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class _Merchant:
    """What the reader of UnionPay's file needs to know of the credentials."""

    def __init__(self, mer_id: str) -> None:
        self.mer_id = mer_id
        self.bill = BillSettings()


def bill_of(kind: str, *paths: Path, day: date = DAY) -> Bill:
    return Bill(BillState.READY, kind, day, paths)


def read(
    name: str, path: Path, day: date = DAY, account: str | None = None
) -> tuple[Normalised, list[tuple[Any, ...]]]:
    """Return the result of a layout and its rows in the order of their lines."""
    out = path.with_suffix(".parquet")
    result = layouts.normalise(layouts.load(name), [path], out, account=account, day=day)
    rows = duckdb.sql(f"FROM read_parquet('{out}') SELECT {COLUMNS} ORDER BY line").fetchall()
    out.unlink()
    return result, [_unsigned(row) for row in rows]


def _unsigned(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row without the signs that an adapter's row does not have."""
    if row[0] in ("payment", "refund", "refund_failure"):
        return row
    return (*row[:5], *(abs(amount) for amount in row[5:8]), *row[8:])


def expected(rows: Iterable[BillRow]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Return an adapter's rows in the form of layouts, and the texts of its exceptions."""
    found, faults = [], []
    for row in rows:
        if row.fault is not None:
            faults.append(row.fault.text)
            continue
        sign = -1 if row.kind == "refund" else 1
        at = row.happened_at
        found.append(
            (
                row.kind.value,
                row.our_no or "",
                row.channel_no or "",
                row.original_no or "",
                row.currency,
                sign * row.amount_minor,
                sign * row.paid_minor,
                sign * row.settled_minor,
                row.fee_minor,
                None if at is None else at.astimezone(UTC).replace(tzinfo=None),
                row.settle_date,
            )
        )
    return found, faults


def compare(name: str, path: Path, reader: Any, day: date = DAY, account: str | None = None) -> Normalised | None:
    """Compare a layout with an adapter's reader: equal rows and exceptions, or both refuse."""
    try:
        wanted, faults = expected(reader())
    except BillRefused:
        with pytest.raises(BillRefused):
            read(name, path, day, account)
        return None
    result, rows = read(name, path, day, account)
    without = [row[:-1] for row in rows] if name == "unionpay_zm" else rows
    assert without == ([row[:-1] for row in wanted] if name == "unionpay_zm" else wanted)
    assert len(result.exceptions) == len(faults)
    return result


@few
@given(rows=entries(states=("SUCCESS", "REFUND"), refund_fees=-1), part=st.integers(0, 99_999), at=st.integers(0, 40))
def test_wechat_trade_equals_the_adapter(tmp_path: Path, rows: list[Entry], part: int, at: int) -> None:
    path = tmp_path / "bill.csv"
    content = wechat_sandbox.write_bill("trade", rows)
    content = content.replace(b",`0.00,`0.00,`" + b"0", b",`0,`0.0,`0", at % 3)  # other forms of the same amounts
    path.write_bytes(content)
    compare("wechat_trade", path, lambda: wechat.read_bill(bill_of("trade", path)))


@few
@given(
    rows=entries(states=(alipay_sandbox.PAYMENT, alipay_sandbox.REFUND), refund_fees=-1),
    breaks=st.lists(st.tuples(st.integers(0, 11), st.sampled_from([",", "\r\n", "，"])), max_size=2),
)
def test_alipay_business_detail_equals_the_adapter(
    tmp_path: Path, rows: list[Entry], breaks: list[tuple[int, str]]
) -> None:
    for place, text in breaks:
        if place < len(rows):  # the writer replaces commas, but a merchant's texts may hold them
            rows[place] = replace(rows[place], description=f"a{text}b")
    made_at = datetime(2026, 3, 2, 1, tzinfo=UTC)
    path = tmp_path / "bill.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alipay_sandbox, "_row", _row_with_commas)
        path.write_bytes(alipay_sandbox.pack_bill(rows, DAY, made_at))
    seller = alipay_sandbox.SELLER_ID
    compare("alipay_business_detail", path, lambda: alipay.read_bill(bill_of("trade", path), seller), account=seller)


_write_row = alipay_sandbox._row


def _row_with_commas(entry: Entry) -> str:
    if entry.description in ("a,b", "a\r\nb"):
        return _write_row(replace(entry, description="a b")).replace("a b", entry.description, 1)
    return _write_row(entry)


@few
@given(rows=entries(states=("S22", "S30"), refund_fees=0), damage=st.sampled_from([None, 90, 300, 340]))
def test_unionpay_zm_equals_the_adapter(tmp_path: Path, rows: list[Entry], damage: int | None) -> None:
    content = bytearray(unionpay_sandbox.write_bill(rows))
    if damage is not None and content:
        content[damage] = 0xFF  # in the amount, in a column that is not read, in the Chinese name
    path = tmp_path / "INN26030188ZM_777290058110097"
    path.write_bytes(bytes(content))
    merchant: Any = _Merchant(unionpay_sandbox.MER_ID)
    compare("unionpay_zm", path, lambda: unionpay.read_bill(bill_of("trade", path), merchant), account=merchant.mer_id)


ODD_AMOUNTS = st.sampled_from([None, "500", 5.5, True])


@st.composite
def transactions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Balance transactions of a day, some with a source, some converted, some that do not add up."""
    found = []
    for number in range(draw(st.integers(0, 10))):
        kind = draw(
            st.sampled_from(["charge", "payment", "refund", "refund_failure", "payout", "stripe_fee", "adjustment"])
        )
        sign = -1 if kind in ("refund", "payout", "stripe_fee", "adjustment") else 1
        amount, fee = draw(st.integers(100, 10**6)) * 100, draw(st.integers(0, 99)) * 100
        currency = draw(st.sampled_from(["usd", "usd", "eur", "isk"]))
        paid_in = draw(st.sampled_from([currency, currency, "jpy"]))
        source: Any = draw(st.sampled_from(["text", "object"]))
        if source == "object":
            name = {"refund": "refund", "refund_failure": "refund", "adjustment": "dispute"}.get(kind, "charge")
            source = {"id": f"x_{number}", "object": name, "amount": amount, "currency": paid_in}
            source |= {"payment_intent": "pi_1", "metadata": {"attempt_no": "att_1", "refund_no": "ref_1"}}
        entry = {"id": f"txn_{number}", "object": "balance_transaction", "type": kind, "amount": sign * amount}
        entry |= {"fee": fee, "net": sign * amount - fee, "currency": currency, "source": source}
        entry |= {"created": 1_772_323_200 + number, "available_on": 1_772_500_000, "reporting_category": kind}
        entry["fee_details"] = [{"type": "application_fee", "amount": fee}] if number % 3 == 0 else []
        if draw(st.integers(0, 9)) == 0:
            entry["net"] += 1
        found.append(entry)
    return found


@few
@given(rows=transactions())
def test_stripe_balance_equals_the_adapter(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    totals = stripe.BalanceTotals()
    for row in rows:
        totals.add(row)
    path = tmp_path / "bill.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows) + totals.line())
    compare("stripe_balance", path, lambda: stripe.read_bill(bill_of("balance", path)))
