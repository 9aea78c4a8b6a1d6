"""Entries of the four channels' days, as the sandbox writes them to bills, with texts and sums as bad as they come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from hutong.sandbox.bill import Entry

DAY = date(2026, 3, 1)
TEXTS = st.text(alphabet=st.sampled_from("红茶 5,`\"'\\|;#%&a\t"), max_size=12)


@st.composite
def entries(draw: st.DrawFn, *, states: tuple[str, str], refund_fees: int) -> list[Entry]:
    """A day's payments and refunds."""
    rows = []
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["payment", "payment", "refund"]))
        amount = draw(st.integers(1, 10**7))
        prepaid = draw(st.sampled_from([0, 0, 0, amount // 3]))
        borne = draw(st.sampled_from([0, 0, 0, amount // 4]))
        fee = draw(st.integers(0, 500)) * (1 if kind == "payment" else refund_fees)
        order_no = f"att_01h{draw(st.integers(0, 30**8)):023d}"
        own = order_no if kind == "payment" else f"ref_01h{draw(st.integers(0, 30**8)):023d}"
        at = datetime(2026, 2, 28, 16, tzinfo=UTC) + timedelta(seconds=draw(st.integers(0, 23 * 3600 - 1)))
        data: dict[str, Any] = {"created_at": at - timedelta(seconds=5)}
        data |= {"txn_type": "01" if kind == "payment" else "04", "txn_sub_type": "01", "biz_type": "000201"}
        data["original_time"] = "0228120000"
        rows.append(
            Entry(
                kind=kind,
                number=own,
                channel_no=f"{5 if kind == 'refund' else 4}{number:020d}",
                order_no=order_no,
                channel_order_no=f"4{number:020d}",
                amount_minor=amount,
                order_amount_minor=amount,
                currency="CNY",
                fee_minor=fee,
                state=states[kind == "refund"],
                at=at,
                description=draw(TEXTS),
                method="JSAPI",
                data=data,
                prepaid_minor=prepaid,
                borne_minor=borne,
            )
        )
    return rows
