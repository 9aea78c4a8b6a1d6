"""What stands in a channel's daily bill, before a channel's own layout, and differences planted in it on request."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

DIFFERENCES = {
    "missing": "the channel's bill leaves out a row",
    "extra": "the bill has a row that nobody placed",
    "duplicate": "a row stands twice",
    "amount": "the amount is one minor unit more",
    "fee": "the fee is one minor unit more",
    "status": "a row is told in another state",
    "cross_day": "the time is a day later",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a bill.

    Attributes:
        kind: "payment", "refund" or "payout".
        number, channel_no: Of the row itself.
        order_no, channel_order_no: Of the order that it is about; for a payment the same as `number`, `channel_no`.
        amount_minor: Never negative.
        order_amount_minor: Of the whole order.
        fee_minor: What the channel keeps; negative where it gives a fee back.
        state: The channel's word.
        data: What else the channel's layout shows.
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


def plant(
    entries: Sequence[Entry], wanted: Mapping[str, int], *, seed: int, odd_state: str
) -> tuple[list[Entry], list[dict[str, Any]]]:
    """Alter the rows of a bill.

    Args:
        wanted: How many of each of `DIFFERENCES`; each falls on a row of its own, as long as there are enough.
        odd_state: The channel's word that a planted "status" shows.

    Returns:
        The altered rows, and the answer key: class, numbers, what is true and what the bill now says.
    """
    dice = random.Random(seed)  # noqa: S311 - the same bill again for the same seed
    rows = list(entries)
    free = list(range(len(rows)))
    dice.shuffle(free)
    key: list[dict[str, Any]] = []
    gone: set[int] = set()
    added: list[Entry] = []
    for name, count in sorted(wanted.items()):
        for number in range(count):
            if name == "extra":
                if entries:
                    added.append(_extra(entries[dice.randrange(len(entries))], number))
                    key.append(_told(name, None, added[-1]))
                continue
            if not free:
                break
            at = free.pop()
            true = rows[at]
            if name == "missing":
                gone.add(at)
                key.append(_told(name, true, None))
            elif name == "duplicate":
                added.append(true)
                key.append(_told(name, true, true))
            else:
                rows[at] = _altered(name, true, odd_state)
                key.append(_told(name, true, rows[at]))
    kept = [row for at, row in enumerate(rows) if at not in gone]
    return sorted([*kept, *added], key=lambda row: row.at), key


def _altered(name: str, row: Entry, odd_state: str) -> Entry:
    if name == "amount":
        return replace(row, amount_minor=row.amount_minor + 1)
    if name == "fee":
        return replace(row, fee_minor=row.fee_minor + 1)
    if name == "status":
        return replace(row, state=odd_state)
    return replace(row, at=row.at + timedelta(days=1))


def _extra(model: Entry, number: int) -> Entry:
    """A row like another one, under numbers that nobody gave."""
    own, channel = f"{model.number[:-6]}99{number:04d}", f"{model.channel_no[:-6]}99{number:04d}"
    about = (own, channel) if model.kind == "payment" else (model.order_no, model.channel_order_no)
    return replace(model, number=own, channel_no=channel, order_no=about[0], channel_order_no=about[1])


def _told(name: str, true: Entry | None, said: Entry | None) -> dict[str, Any]:
    row = true or said
    assert row is not None
    return {
        "class": name,
        "kind": row.kind,
        "number": row.number,
        "channel_no": row.channel_no,
        "true": _shown(true),
        "said": _shown(said),
    }


def _shown(row: Entry | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"amount_minor": row.amount_minor, "fee_minor": row.fee_minor, "state": row.state, "at": row.at.isoformat()}
