"""The rows of a channel's daily bill, before the channel's own layout, and differences planted on request."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hutong.sandbox.records import SandboxOrder, SandboxRefund

DIFFERENCES = {
    "missing": "the channel's bill leaves out a row",
    "extra": "the bill has a row that nobody placed",
    "duplicate": "a row occurs twice",
    "amount": "the amount is one minor unit more, or less where more would take another digit",
    "fee": "the fee is one minor unit more",
    "status": "a row shows another state",
    "cross_day": "the time is a day later",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a bill.

    Attributes:
        kind: "payment", "refund", "payout" or "dispute".
        number, channel_no: The numbers of the row's own payment, refund or payout.
        order_no, channel_order_no: The numbers of the order; for a payment the same as `number`, `channel_no`.
        amount_minor: Never negative.
        order_amount_minor: The amount of the whole order.
        fee_minor: The channel's fee; negative where it returns one.
        state: The channel's own name of the state.
        data: Further fields of the channel's layout.
        prepaid_minor, borne_minor: The coupons that are settled, and those that are not; of a refund, their parts.
    """

    kind: str
    number: str
    channel_no: str
    order_no: str
    channel_order_no: str
    amount_minor: int
    order_amount_minor: int
    currency: str
    fee_minor: int
    state: str
    at: datetime
    description: str
    method: str
    data: Mapping[str, Any]
    prepaid_minor: int = 0
    borne_minor: int = 0

    @property
    def settled_minor(self) -> int:
        """What is settled, or taken back, before the fee."""
        return self.amount_minor - self.borne_minor


def payment_entry(order: SandboxOrder, *, fee_minor: int, state: str, **fields: Any) -> Entry:
    """Make the row of a paid order; `fields` replace those that the order gives."""
    values: dict[str, Any] = {
        "number": order.order_no,
        "channel_no": order.channel_order_no,
        "amount_minor": order.captured_minor,
        "at": order.paid_at,
        "prepaid_minor": order.settled_minor - order.payer_minor,
        "borne_minor": order.borne_minor,
    }
    return _entry(order, "payment", fee_minor=fee_minor, state=state, **values | fields)


def refund_entry(refund: SandboxRefund, *, fee_minor: int, state: str, **fields: Any) -> Entry:
    """Make the row of a refund; `fields` replace those that the refund and its order give."""
    values: dict[str, Any] = {
        "number": refund.refund_no,
        "channel_no": refund.channel_refund_no,
        "amount_minor": refund.amount_minor,
        "at": refund.changed_at,
        "prepaid_minor": refund.settled_minor - refund.payer_minor,
        "borne_minor": refund.borne_minor,
    }
    return _entry(refund.order, "refund", fee_minor=fee_minor, state=state, **values | fields)


def dispute_entry(order: SandboxOrder, *, number: str, **fields: Any) -> Entry:
    """Make the row of money that a dispute has moved, under the channel's number of it."""
    return _entry(order, "dispute", number=number, channel_no=number, **fields)


def _entry(order: SandboxOrder, kind: str, **fields: Any) -> Entry:
    values: dict[str, Any] = {
        "order_no": order.order_no,
        "channel_order_no": order.channel_order_no,
        "order_amount_minor": order.amount_minor,
        "currency": order.currency,
        "description": order.description,
        "method": order.method,
        "data": {},
    }
    return Entry(kind=kind, **values | fields)


def plant(
    entries: Sequence[Entry], differences: Mapping[str, int], *, seed: int, odd_state: str
) -> tuple[list[Entry], list[dict[str, Any]]]:
    """Alter the rows of a bill, but for those of disputes, of which several have one number.

    Args:
        differences: The number of each of `DIFFERENCES`; each takes a row of its own, as long as there are enough.
        odd_state: The channel's state that a planted "status" shows.

    Returns:
        The altered rows, and the key: for each difference its class, its numbers, and the true and the altered values.
    """
    dice = random.Random(seed)  # noqa: S311 - the same bill again for the same seed
    rows = list(entries)
    free = [at for at, row in enumerate(rows) if row.kind != "dispute"]
    models = [rows[at] for at in free]
    dice.shuffle(free)
    key: list[dict[str, Any]] = []
    removed: set[int] = set()
    added: list[Entry] = []
    for name, count in sorted(differences.items()):
        for number in range(count):
            if name == "extra":
                if models:
                    added.append(_extra(models[dice.randrange(len(models))], number))
                    key.append(_key_entry(name, None, added[-1]))
                continue
            if not free:
                break
            at = free.pop()
            true = rows[at]
            if name == "missing":
                removed.add(at)
                key.append(_key_entry(name, true, None))
            elif name == "duplicate":
                added.append(true)
                key.append(_key_entry(name, true, true))
            else:
                rows[at] = _altered(name, true, odd_state)
                key.append(_key_entry(name, true, rows[at]))
    kept = [row for at, row in enumerate(rows) if at not in removed]
    return sorted([*kept, *added], key=lambda row: row.at), key


def _altered(name: str, row: Entry, odd_state: str) -> Entry:
    if name == "amount":
        more = row.amount_minor + 1
        has_room = len(str(more)) == len(str(row.amount_minor))
        return replace(row, amount_minor=more if has_room else row.amount_minor - 1)
    if name == "fee":
        return replace(row, fee_minor=row.fee_minor + 1)
    if name == "status":
        return replace(row, state=odd_state)
    return replace(row, at=row.at + timedelta(days=1))


def _extra(model: Entry, number: int) -> Entry:
    """Make a row like another one, under numbers that do not exist."""
    new_number, new_channel_no = f"{model.number[:-6]}99{number:04d}", f"{model.channel_no[:-6]}99{number:04d}"
    order = (new_number, new_channel_no) if model.kind == "payment" else (model.order_no, model.channel_order_no)
    return replace(model, number=new_number, channel_no=new_channel_no, order_no=order[0], channel_order_no=order[1])


def _key_entry(name: str, true: Entry | None, altered: Entry | None) -> dict[str, Any]:
    row = true or altered
    assert row is not None
    return {
        "class": name,
        "kind": row.kind,
        "number": row.number,
        "channel_no": row.channel_no,
        "true": _values(true),
        "said": _values(altered),
    }


def _values(row: Entry | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"amount_minor": row.amount_minor, "fee_minor": row.fee_minor, "state": row.state, "at": row.at.isoformat()}
