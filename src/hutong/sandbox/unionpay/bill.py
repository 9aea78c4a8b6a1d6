"""UnionPay's daily file in UnionPay's layout: rows of 607 bytes in a zip, compressed again, in base64."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from hutong.clock import BEIJING
from hutong.sandbox.bill import Entry, payment_entry, refund_entry
from hutong.sandbox.records import SandboxOrder, SandboxRefund
from hutong.sandbox.unionpay.keys import MER_ID, TERM_ID
from hutong.sandbox.unionpay.validation import read_time

_CUT = timedelta(hours=1)
"""A clearing day ends at 23:00."""
_ACQUIRER = "48020000"
_SHORT_NAME = "互通沙箱"


def settle_date(at: datetime) -> date:
    """Return the clearing day of an instant."""
    return (at.astimezone(BEIJING) + _CUT).date()


def order_row(order: SandboxOrder) -> Entry:
    """Make a bill's row of a payment; where the money was reserved before, of its completion."""
    fee_minor, completion, content = order.settled_minor * 6 // 1000, order.data.get("completion"), _taking(order)
    at = read_time(content["txnTime"])
    entry = payment_entry(order, fee_minor=fee_minor, state="S22", at=at, data=_kind(content))
    if completion is None:
        return entry
    return replace(
        entry,
        number=completion.number,
        channel_no=completion.query_id,
        order_no=completion.number,
        channel_order_no=completion.query_id,
    )


def taken_no(order: SandboxOrder) -> str:
    """Return the number of the transaction that took an order's money: its own, or that of its completion."""
    completion = order.data.get("completion")
    return order.channel_order_no if completion is None else str(completion.query_id)


def refund_row(refund: SandboxRefund) -> Entry:
    """Make a bill's row of a refund or a void."""
    data = _kind(refund.content) | {"original_time": trace_time(_taking(refund.order))}
    at = read_time(refund.content["txnTime"])
    entry = refund_entry(refund, fee_minor=0, state="S30", at=at, data=data)
    return replace(entry, channel_order_no=taken_no(refund.order))


def trace_time(content: Mapping[str, Any]) -> str:
    """Return the trace time of a transaction, which is the time that its request states."""
    return str(content["txnTime"][4:])


def _taking(order: SandboxOrder) -> Mapping[str, Any]:
    """Return the request that took an order's money: its own, or that of its completion."""
    completion = order.data.get("completion")
    return order.content if completion is None else completion.content


def _kind(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"txn_type": content["txnType"], "txn_sub_type": content["txnSubType"], "biz_type": content["bizType"]}


def write_bill(entries: Sequence[Entry]) -> bytes:
    """Write the ZM file: rows without a header or totals."""
    return b"".join(_row(entry) for entry in entries)


def pack_bill(rows: bytes, day: date) -> tuple[str, str]:
    """Pack the file as an answer carries it; return its content and its name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"INN{day:%y%m%d}88ZM_{MER_ID}", rows)
        archive.writestr(f"INN{day:%y%m%d}88ZME_{MER_ID}", b"")
    return base64.b64encode(zlib.compress(packed.getvalue())).decode(), f"{MER_ID}_{day:%Y%m%d}.zip"


def _row(entry: Entry) -> bytes:
    at, payment = entry.at.astimezone(BEIJING), entry.kind == "payment"
    net = (entry.settled_minor if payment else -entry.settled_minor) - entry.fee_minor
    discount = entry.prepaid_minor + entry.borne_minor
    columns = (
        (entry.state, 3),
        (_ACQUIRER, 11),
        (_ACQUIRER, 11),
        (entry.channel_no[-6:], 6),
        (f"{at:%m%d%H%M%S}", 10),
        ("622848*********0010", 19),
        (f"{entry.amount_minor - discount:012d}", 12),
        ("5411", 4),
        ("07", 2),
        (entry.channel_no, 21),
        ("", 2),
        (entry.number, 32),
        ("01", 2),
        ("" if payment else entry.channel_order_no[-6:], 6),
        ("" if payment else entry.data["original_time"], 10),
        (_signed(-entry.fee_minor), 13),
        (_signed(net), 13),
        ("0001", 4),
        ("", 15),
        (entry.data["txn_type"], 2),
        (entry.data["txn_sub_type"], 2),
        (entry.data["biz_type"], 6),
        ("01", 2),
        ("", 4),
        ("", 32),
        ("0", 1),
        ("" if payment else entry.channel_order_no, 21),
        (MER_ID, 15),
        ("", 1),
        ("", 15),
        (_SHORT_NAME, 32),
        (_signed(0), 13),
        (_signed(net), 13),
        (TERM_ID, 8),
        ("", 32),
        (_signed(discount if payment else -discount), 13),
        (_signed(0), 13),
        (f"{0:012d}", 12),
        ("00", 2),
        ("0", 1),
        ("", 32),
        ("", 98),
    )
    return b" ".join(_column(text, width) for text, width in columns) + b"\n"


def _column(text: str, width: int) -> bytes:
    encoded = text.encode("gbk")
    assert len(encoded) <= width, text
    return encoded.ljust(width)


def _signed(amount_minor: int) -> str:
    """Write an amount with C for the merchant's credit or D for the merchant's debit."""
    return f"{'D' if amount_minor < 0 else 'C'}{abs(amount_minor):012d}"
