"""Rules as decision tables: JSON that operators edit, checked cell by cell before it comes into force.

A file holds one table or several in the JSON Decision Model, each collecting all rows that match. Inputs are facts of
the payment; each row that matches says what to do with an account or a channel, and why, in two languages. Every table
is asked about the payment itself: edges that would lead one table's answers into another mean nothing here.
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
"""What a rule may ask for. `hour` and `weekday` (0 is Monday) are Beijing's."""

ACTIONS = frozenset({"block", "only", "prefer"})
"""block: not this one. only: no other than those named so. prefer: added to the score, `points` in 0–1."""

_OUTPUTS = frozenset({"target", "action", "points", "text_en", "text_zh"})


@dataclass(frozen=True, slots=True)
class Said:
    """What one matching row says.

    Attributes:
        target: The name of an account, or of a channel.
    """

    target: str
    action: str
    points: float
    text_en: str
    text_zh: str


class Rules:
    """A checked rule file, ready to be asked.

    Args:
        tables: Each with what its rows say, in the order of the file.
    """

    def __init__(self, source: str, tables: Sequence[tuple[Mapping[str, Any], Sequence[Said]]]) -> None:
        self.source = source
        self._said = [said for _, rows in tables for said in rows]
        content, number = {}, 0
        for key, (table, rows) in enumerate(tables):
            content[str(key)] = _numbered(table, number)
            number += len(rows)
        # Only what an engine loads by itself is kept compiled. What a row says was read when it was checked; the engine
        # has to tell no more than which rows match.
        self._engine = zen.ZenEngine({"loader": {"type": "static", "content": content}})
        self._tables = tuple(content)

    def ask(self, facts: Mapping[str, object]) -> list[Said]:
        """The rows that match, in the order of the file."""
        payment = dict(facts)
        found: list[Said] = []
        for table in self._tables:
            rows: Any = self._engine.evaluate(table, payment)["result"]
            found += [self._said[row["row"]] for row in rows or ()]
        return found


def _numbered(table: Mapping[str, Any], first: int) -> dict[str, Any]:
    """A table alone, whose rows give their number and nothing else."""
    content = table["content"]
    inputs = content.get("inputs") or []
    rows = [
        {column["id"]: row.get(column["id"], "") for column in inputs} | {"_id": str(number), "row": str(number)}
        for number, row in enumerate(content.get("rules") or [], first)
    ]
    asked = {**content, "inputs": inputs, "rules": rows, "outputs": [{"id": "row", "name": "row", "field": "row"}]}
    place = {"x": 0, "y": 0}
    nodes = [
        {"id": "in", "type": "inputNode", "name": "in", "position": place},
        {"id": "table", "type": "decisionTableNode", "name": "table", "position": place, "content": asked},
        {"id": "out", "type": "outputNode", "name": "out", "position": place},
    ]
    edges = [
        {"id": "1", "sourceId": "in", "targetId": "table", "type": "edge"},
        {"id": "2", "sourceId": "table", "targetId": "out", "type": "edge"},
    ]
    return {"nodes": nodes, "edges": edges}


def read_rules(
    source: str, *, accounts: Mapping[str, str] | None, samples: Sequence[Mapping[str, object]] = ()
) -> Rules:
    """Check a rule file whole.

    Args:
        accounts: The channel of each account by name; a rule may name either. None leaves names unchecked.
        samples: Facts of payments as they come; the rules must leave a way for one of them at least.

    Errors:
        RulesRefused: names the line and the reason; the rules in force stay.
    """
    try:
        model = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise RulesRefused(f"line {error.lineno}: not JSON: {error.msg}", line=error.lineno) from None
    lines = _Lines(source)
    names = None if accounts is None else frozenset(accounts) | frozenset(accounts.values())
    tables = [node for node in _nodes(model, lines) if node.get("type") == "decisionTableNode"]
    if not tables:
        raise RulesRefused("line 1: the file holds no decision table", line=1)
    seen = [_check_table(table, lines, names) for table in tables]
    try:
        rules = Rules(source, [(table, [said for _, said in rows]) for table, rows in zip(tables, seen, strict=True)])
        rules.ask(dict.fromkeys(FIELDS, ""))
    except RuntimeError as error:
        raise RulesRefused(f"line 1: {_first_line(error)}", line=1) from None
    _check_some_way_is_left(rules, [row for rows in seen for row in rows], lines, accounts or {}, samples)
    return rules


class _Lines:
    """Where things stand in the source, for people."""

    def __init__(self, source: str) -> None:
        self._source = source

    def of(self, identifier: object) -> int:
        """The line on which a text value of the file stands first; 1 if it cannot be told."""
        at = self._source.find(json.dumps(identifier, ensure_ascii=False))
        return self._source.count("\n", 0, at) + 1 if at >= 0 else 1


def _nodes(model: Any, lines: _Lines) -> Sequence[dict[str, Any]]:
    nodes = model.get("nodes") if isinstance(model, dict) else None
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise RulesRefused("line 1: the file has no list of nodes", line=1)
    for node in nodes:
        if node.get("type") not in ("inputNode", "decisionTableNode", "outputNode"):
            line = lines.of(node.get("type"))
            raise RulesRefused(f"line {line}: a node of type {node.get('type')} is not a decision table", line=line)
    return nodes


def _check_table(
    table: dict[str, Any], lines: _Lines, names: frozenset[str] | None
) -> list[tuple[dict[str, Any], Said]]:
    content = table.get("content")
    if not isinstance(content, dict):
        raise RulesRefused("line 1: a decision table has no content", line=1)
    if content.get("hitPolicy") != "collect":
        line = lines.of(content.get("hitPolicy"))
        raise RulesRefused(f'line {line}: "hitPolicy" must be "collect"', line=line)
    inputs, outputs = content.get("inputs") or [], content.get("outputs") or []
    for column in inputs:
        if column.get("field") not in FIELDS:
            line = lines.of(column.get("field"))
            raise RulesRefused(
                f"line {line}: {column.get('field')} is no field of a payment; known are {', '.join(sorted(FIELDS))}",
                line=line,
            )
    for column in outputs:
        if column.get("field") not in _OUTPUTS:
            line = lines.of(column.get("field"))
            raise RulesRefused(f"line {line}: {column.get('field')} is nothing that a rule says", line=line)
    by_name = {column["field"]: column["id"] for column in outputs}
    if not {"target", "action"} <= by_name.keys():
        raise RulesRefused("line 1: a table must say target and action", line=1)
    return [(row, _check_row(row, inputs, by_name, lines, names)) for row in content.get("rules") or []]


def _check_row(
    row: dict[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    outputs: Mapping[str, str],
    lines: _Lines,
    names: frozenset[str] | None,
) -> Said:
    line = lines.of(row.get("_id"))
    for column in inputs:
        cell = row.get(column["id"]) or ""
        try:
            if cell:
                zen.compile_unary_expression(cell)
        except RuntimeError:
            # The engine takes a cell that it cannot read for one that never matches.
            raise RulesRefused(f"line {line}: {column['field']}: {cell} cannot be read", line=line) from None
    said = {name: _literal(row.get(column), name, line) for name, column in outputs.items()}
    target, action, points = said.get("target"), said.get("action"), said.get("points") or 0
    if names is not None and target not in names:
        raise RulesRefused(f"line {line}: there is no account or channel {target}", line=line)
    if action not in ACTIONS:
        raise RulesRefused(f"line {line}: {action} is not an action; known are {', '.join(sorted(ACTIONS))}", line=line)
    if not isinstance(points, int | float) or isinstance(points, bool) or not 0 <= points <= 1:
        raise RulesRefused(f"line {line}: points must lie in 0–1", line=line)
    return Said(str(target), str(action), float(points), str(said.get("text_en") or ""), str(said.get("text_zh") or ""))


def _literal(cell: object, name: str, line: int) -> object:
    if cell in (None, ""):
        return None
    try:
        return orjson.loads(str(cell))
    except orjson.JSONDecodeError:
        raise RulesRefused(f"line {line}: {name} must be a plain value, not {cell}", line=line) from None


def _check_some_way_is_left(
    rules: Rules,
    rows: Sequence[tuple[dict[str, Any], Said]],
    lines: _Lines,
    accounts: Mapping[str, str],
    samples: Sequence[Mapping[str, object]],
) -> None:
    """A file that leaves no account to any payment is refused, by the last row that takes one away."""
    if not accounts or not samples:
        return
    for facts in samples:
        said = Sayings(rules.ask(facts))
        if any(said.allow(name, channel) for name, channel in accounts.items()):
            return
    taking = [row for row, said in rows if said.action != "prefer"]
    line = lines.of(taking[-1].get("_id"))
    raise RulesRefused(f"line {line}: with this rule every channel is excluded", line=line)


class Sayings:
    """What the rules say about one payment, by target."""

    def __init__(self, said: Sequence[Said]) -> None:
        self._only = {row.target: row for row in reversed(said) if row.action == "only"}
        self._blocked = {row.target: row for row in reversed(said) if row.action == "block"}
        self._preferred: dict[str, tuple[float, str, str]] = {}
        for row in said:
            if row.action == "prefer":
                points, text_en, text_zh = self._preferred.get(row.target, _NO_POINTS)
                self._preferred[row.target] = points + row.points, row.text_en or text_en, row.text_zh or text_zh

    def allow(self, name: str, channel: str) -> bool:
        """Whether they leave an account in."""
        if name in self._blocked or channel in self._blocked:
            return False
        return not self._only or name in self._only or channel in self._only

    def reason(self, name: str, channel: str) -> tuple[str, str]:
        """Why they do not leave an account in, in English and in Chinese: the words of the first row that says so."""
        row = self._blocked.get(name) or self._blocked.get(channel) or next(reversed(self._only.values()))
        return row.text_en, row.text_zh

    def points(self, name: str, channel: str) -> tuple[float, str, str]:
        """What they add to its score, and why, in English and in Chinese."""
        own, text_en, text_zh = self._preferred.get(name, _NO_POINTS)
        if channel == name:
            return own, text_en, text_zh
        shared, reason_en, reason_zh = self._preferred.get(channel, _NO_POINTS)
        return own + shared, text_en or reason_en, text_zh or reason_zh


_NO_POINTS = (0.0, "", "")
NOTHING_SAID = Sayings(())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
