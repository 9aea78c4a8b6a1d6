"""The explanation of a difference in English and Chinese, with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hutong import money
from hutong.errors import InvalidParameter
from hutong.reconciliation.layers import LAYERS
from hutong.reconciliation.model import Difference, DifferenceClass, DifferenceState

_C = DifferenceClass

_TEXTS: Mapping[DifferenceClass, tuple[str, str]] = {
    _C.MISSING: (
        "{layer}: we have {key} with {ours}; the other side does not state it by {day}. {effect}",
        "{layer}：我方有 {key}，净额 {ours}；截至 {day} 对方没有。{effect}",
    ),
    _C.UNEXPECTED: (
        "{layer}: the other side states {key} with {theirs}; we do not have it by {day}. {effect}",
        "{layer}：对方有 {key}，净额 {theirs}；截至 {day} 我方没有。{effect}",
    ),
    _C.MISMATCH: (
        "{layer}: both sides have {key}, and {column} differs: ours {our_value}, theirs {their_value}. {effect}",
        "{layer}：双方都有 {key}，但 {column} 不一致：我方 {our_value}，对方 {their_value}。{effect}",
    ),
    _C.DUPLICATE: (
        "{layer}: the other side states {key} {their_count} times, we have it {our_count} times. {effect}",
        "{layer}：{key} 对方出现 {their_count} 次，我方 {our_count} 次。{effect}",
    ),
    _C.DOUBLE_POSTING: (
        "{layer}: we have {key} {our_count} times for {their_count} of the other side. {effect}",
        "{layer}：{key} 我方记了 {our_count} 次，对方只有 {their_count} 次。{effect}",
    ),
    _C.AMBIGUOUS: (
        "{layer}: {our_count} of our rows and {their_count} of theirs under {key} match in several ways. {effect}",
        "{layer}：{key} 有多种对法，我方 {our_count} 行、对方 {their_count} 行；不按猜测入账。{effect}",
    ),
}
_EFFECTS = {
    "long": ("Received {amount} more than booked (long).", "多收 {amount}（长款）。"),
    "short": ("Received {amount} less than booked (short).", "少收 {amount}（短款）。"),
    "": ("No money is affected.", "不涉及金额。"),
}
_WAITING = (" It waits for the next file.", "等待下一期文件。")
_COLUMNS = {
    "state": ("the state", "状态"),
    "currency": ("the currency", "币种"),
    "ordered": ("the ordered amount", "订单金额"),
    "paid": ("the paid amount", "实付金额"),
    "settled": ("the settled amount", "结算金额"),
    "fee": ("the fee", "手续费"),
}
_MONEY = frozenset({"ordered", "paid", "settled", "fee"})


def explain(case: Difference) -> dict[str, str]:
    """Return what is wrong with a difference as one or two sentences, by language: `en` and `zh`."""
    texts = _TEXTS.get(case.klass)
    if texts is None:
        return {"en": "", "zh": ""}
    sign = "long" if case.amount_minor > 0 else "short" if case.amount_minor < 0 else ""
    layer = LAYERS[case.layer]
    figures = {
        "key": case.key,
        "day": case.last_day.isoformat(),
        "ours": _net(case.ours, case.currency),
        "theirs": _net(case.theirs, case.currency),
        "our_value": _value(case.ours, case.column, case.currency),
        "their_value": _value(case.theirs, case.column, case.currency),
        "our_count": str(len(case.ours)),
        "their_count": str(len(case.theirs)),
    }
    amount = _major(abs(case.amount_minor), case.currency)
    explained: dict[str, str] = {}
    for place, (language, name) in enumerate((("en", layer.name_en), ("zh", layer.name_zh))):
        column = _COLUMNS.get(case.column, (case.column, case.column))[place]
        effect = _EFFECTS[sign][place].format(amount=amount)
        text = texts[place].format(layer=name, effect=effect, column=column, **figures)
        waits = _WAITING[place] if case.state is DifferenceState.ROLLED else ""
        explained[language] = text + waits
    return explained


def _net(rows: Sequence[Mapping[str, Any]], currency: str) -> str:
    return _major(sum(row["settled"] - (row["fee"] or 0) for row in rows), currency)


def _value(rows: Sequence[Mapping[str, Any]], column: str, currency: str) -> str:
    values = sorted({str(row.get(column)) for row in rows}) if column not in _MONEY else []
    if values:
        return ", ".join(values)
    if column not in _MONEY:
        return "-"
    return _major(sum(row[column] or 0 for row in rows), currency)


def _major(amount_minor: int, currency: str) -> str:
    try:
        return f"{money.to_major(amount_minor, currency)} {currency}"
    except InvalidParameter:
        return f"{amount_minor} {currency}"
