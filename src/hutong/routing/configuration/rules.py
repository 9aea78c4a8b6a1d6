"""Rules as decision tables: JSON that operators edit, checked cell by cell before it comes into force.

A file holds one table or several in the JSON Decision Model, each collecting all rows that match. Inputs are facts of
the payment; each matching row blocks, allows or prefers an account or a channel and gives the reason in two languages.
Every table is evaluated on the payment itself: edges from one table's outputs to another have no effect here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import zen

from hutong.routing.errors import RulesRefused

FIELDS = frozenset(
    {
        "method",
        "amount_minor",
        "currency",
        "merchant",
        "merchant_class",
        "product",
        "institution",
        "hour",
        "weekday",
    }
)
"""The inputs that a rule may have. `hour` and `weekday` (0 is Monday) are in Beijing time."""

ACTIONS = frozenset({"block", "only", "prefer"})
"""block: exclude it. only: exclude all but the targets of such rows. prefer: add `points` in 0–1 to the score."""

_OUTPUTS = frozenset({"target", "action", "points", "text_en", "text_zh"})

CheckedRow = tuple[dict[str, Any], "RuleRow"]
"""A row of the file, and its outputs."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """The outputs of one row.

    Attributes:
        target: The name of an account or of a channel.
    """

    target: str
    action: str
    points: float
    text_en: str
    text_zh: str


class Rules:
    """A checked file of rules, ready to be evaluated.

    Args:
        tables: Each with the outputs of its rows, in the order of the file.
    """

    def __init__(self, tables: Sequence[tuple[Mapping[str, Any], Sequence[RuleRow]]]) -> None:
        self._rows = [row for _, rows in tables for row in rows]
        content, number = {}, 0
        for key, (table, rows) in enumerate(tables):
            content[str(key)] = _numbered(table, number)
            number += len(rows)
        # The engine keeps compiled only what it loads by itself. The outputs of rows were read when the file was
        # checked; the engine only has to find the rows that match.
        self._engine = zen.ZenEngine({"loader": {"type": "static", "content": content}})
        self._tables = tuple(content)

    def evaluate(self, facts: Mapping[str, object]) -> list[RuleRow]:
        """Return the rows that match, in the order of the file."""
        payment = dict(facts)
        matching: list[RuleRow] = []
        for table in self._tables:
            rows: Any = self._engine.evaluate(table, payment)["result"]
            matching += [self._rows[row["row"]] for row in rows or ()]
        return matching


def _numbered(table: Mapping[str, Any], first: int) -> dict[str, Any]:
    """Return a model of this table alone, whose rows output their number and nothing else."""
    content = table["content"]
    inputs = content.get("inputs") or []
    rows = [
        {column["id"]: row.get(column["id"], "") for column in inputs} | {"_id": str(number), "row": str(number)}
        for number, row in enumerate(content.get("rules") or [], first)
    ]
    numbered = {**content, "inputs": inputs, "rules": rows, "outputs": [{"id": "row", "name": "row", "field": "row"}]}
    position = {"x": 0, "y": 0}
    nodes = [
        {"id": "in", "type": "inputNode", "name": "in", "position": position},
        {"id": "table", "type": "decisionTableNode", "name": "table", "position": position, "content": numbered},
        {"id": "out", "type": "outputNode", "name": "out", "position": position},
    ]
    edges = [
        {"id": "1", "sourceId": "in", "targetId": "table", "type": "edge"},
        {"id": "2", "sourceId": "table", "targetId": "out", "type": "edge"},
    ]
    return {"nodes": nodes, "edges": edges}


def read_rules(
    source: str, *, accounts: Mapping[str, str] | None, samples: Sequence[Mapping[str, object]] = ()
) -> Rules:
    """Check a whole file of rules and make it ready to be evaluated.

    Args:
        accounts: The channel of each account by the account's name; a rule may name either. None leaves names
            unchecked.
        samples: Facts of typical payments; the rules must leave an account to at least one of them.

    Errors:
        RulesRefused: names the line and the reason; the rules in force stay.
    """
    try:
        model = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise RulesRefused(f"line {error.lineno}: not JSON: {error.msg}", line=error.lineno) from None
    lines = _SourceLines(source)
    names = None if accounts is None else frozenset(accounts) | frozenset(accounts.values())
    tables = [node for node in _nodes(model, lines) if node.get("type") == "decisionTableNode"]
    if not tables:
        raise RulesRefused("line 1: the file has no decision table", line=1)
    checked = [_check_table(table, lines, names) for table in tables]
    try:
        rules = Rules([(table, [row for _, row in rows]) for table, rows in zip(tables, checked, strict=True)])
        rules.evaluate(dict.fromkeys(FIELDS, ""))
    except RuntimeError as error:
        raise RulesRefused(f"line 1: {_first_line(error)}", line=1) from None
    _check_an_account_is_left(rules, [row for rows in checked for row in rows], lines, accounts or {}, samples)
    return rules


class _SourceLines:
    """The lines of a file on which its values stand, for people."""

    def __init__(self, source: str) -> None:
        self._source = source

    def line_of(self, identifier: object) -> int:
        """Return the line on which a text value stands first; 1 if it is not found."""
        at = self._source.find(json.dumps(identifier, ensure_ascii=False))
        return self._source.count("\n", 0, at) + 1 if at >= 0 else 1


def _nodes(model: Any, lines: _SourceLines) -> Sequence[dict[str, Any]]:
    nodes = model.get("nodes") if isinstance(model, dict) else None
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise RulesRefused("line 1: the file has no list of nodes", line=1)
    for node in nodes:
        if node.get("type") not in ("inputNode", "decisionTableNode", "outputNode"):
            line = lines.line_of(node.get("type"))
            raise RulesRefused(f"line {line}: a node of type {node.get('type')} is not a decision table", line=line)
    return nodes


def _check_table(table: dict[str, Any], lines: _SourceLines, names: frozenset[str] | None) -> list[CheckedRow]:
    content = table.get("content")
    if not isinstance(content, dict):
        raise RulesRefused("line 1: a decision table has no content", line=1)
    if content.get("hitPolicy") != "collect":
        line = lines.line_of(content.get("hitPolicy"))
        raise RulesRefused(f'line {line}: "hitPolicy" must be "collect"', line=line)
    inputs, outputs = content.get("inputs") or [], content.get("outputs") or []
    for column in inputs:
        if column.get("field") not in FIELDS:
            line = lines.line_of(column.get("field"))
            raise RulesRefused(
                f"line {line}: {column.get('field')} is no field of a payment; known are {', '.join(sorted(FIELDS))}",
                line=line,
            )
    for column in outputs:
        if column.get("field") not in _OUTPUTS:
            line = lines.line_of(column.get("field"))
            known = ", ".join(sorted(_OUTPUTS))
            raise RulesRefused(
                f"line {line}: {column.get('field')} is no output of a rule; known are {known}", line=line
            )
    by_name = {column["field"]: column["id"] for column in outputs}
    if not {"target", "action"} <= by_name.keys():
        raise RulesRefused("line 1: a table must have the outputs target and action", line=1)
    return [(row, _check_row(row, inputs, by_name, lines, names)) for row in content.get("rules") or []]


def _check_row(
    row: dict[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    outputs: Mapping[str, str],
    lines: _SourceLines,
    names: frozenset[str] | None,
) -> RuleRow:
    line = lines.line_of(row.get("_id"))
    for column in inputs:
        cell = row.get(column["id"]) or ""
        try:
            if cell:
                zen.compile_unary_expression(cell)
        except RuntimeError:
            # The engine treats a cell that it cannot read as one that never matches.
            raise RulesRefused(f"line {line}: {column['field']}: {cell} cannot be read", line=line) from None
    values = {name: _literal(row.get(column), name, line) for name, column in outputs.items()}
    target, action, points = values.get("target"), values.get("action"), values.get("points") or 0
    if names is not None and target not in names:
        raise RulesRefused(f"line {line}: there is no account or channel {target}", line=line)
    if action not in ACTIONS:
        raise RulesRefused(f"line {line}: {action} is not an action; known are {', '.join(sorted(ACTIONS))}", line=line)
    if not isinstance(points, int | float) or isinstance(points, bool) or not 0 <= points <= 1:
        raise RulesRefused(f"line {line}: points must lie in 0–1", line=line)
    texts = (str(values.get(name) or "") for name in ("text_en", "text_zh"))
    return RuleRow(str(target), str(action), float(points), *texts)


def _literal(cell: object, name: str, line: int) -> object:
    if cell in (None, ""):
        return None
    try:
        return orjson.loads(str(cell))
    except orjson.JSONDecodeError:
        raise RulesRefused(f"line {line}: {name} must be a plain value, not {cell}", line=line) from None


def _check_an_account_is_left(
    rules: Rules,
    rows: Sequence[CheckedRow],
    lines: _SourceLines,
    accounts: Mapping[str, str],
    samples: Sequence[Mapping[str, object]],
) -> None:
    """Refuse a file that leaves no account to any sample, naming the last row that excludes accounts."""
    if not accounts or not samples:
        return
    for facts in samples:
        outcome = RuleOutcome(rules.evaluate(facts))
        if any(outcome.allows(name, channel) for name, channel in accounts.items()):
            return
    excluding = [source for source, row in rows if row.action != "prefer"]
    line = lines.line_of(excluding[-1].get("_id"))
    raise RulesRefused(f"line {line}: with this rule every channel is excluded", line=line)


class RuleOutcome:
    """The effect of the matching rows on one payment, by target."""

    def __init__(self, rows: Sequence[RuleRow]) -> None:
        self._only = {row.target: row for row in reversed(rows) if row.action == "only"}
        self._blocked = {row.target: row for row in reversed(rows) if row.action == "block"}
        self._preferred: dict[str, tuple[float, str, str]] = {}
        for row in rows:
            if row.action == "prefer":
                points, text_en, text_zh = self._preferred.get(row.target, NO_POINTS)
                self._preferred[row.target] = points + row.points, row.text_en or text_en, row.text_zh or text_zh

    def allows(self, name: str, channel: str) -> bool:
        """Return whether no rule excludes an account."""
        if name in self._blocked or channel in self._blocked:
            return False
        return not self._only or name in self._only or channel in self._only

    def reason(self, name: str, channel: str) -> tuple[str, str]:
        """Return why an account is excluded, in English and in Chinese: the texts of the first row that excludes it."""
        row = self._blocked.get(name) or self._blocked.get(channel) or next(reversed(self._only.values()))
        return row.text_en, row.text_zh

    def points(self, name: str, channel: str) -> tuple[float, str, str]:
        """Return what the rules add to an account's score, and why, in English and in Chinese."""
        points, text_en, text_zh = self._preferred.get(name, NO_POINTS)
        if channel == name:
            return points, text_en, text_zh
        channel_points, channel_text_en, channel_text_zh = self._preferred.get(channel, NO_POINTS)
        return points + channel_points, text_en or channel_text_en, text_zh or channel_text_zh


NO_POINTS = (0.0, "", "")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
