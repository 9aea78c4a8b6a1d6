"""A pattern that ends with `$` also accepts a line end after the text; `\\Z` and `fullmatch` do not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from support.sources import nodes

SOURCE = Path(__file__).parents[2] / "src"
_UNESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\$(?![^\[]*\])")


def _patterns(path: Path) -> list[str]:
    calls = (node for node in nodes(path) if isinstance(node, ast.Call) and node.args)
    return [
        ast.literal_eval(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "re"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and "MULTILINE" not in ast.unparse(call)
    ]


def test_no_pattern_ends_before_a_line_end() -> None:
    found = {
        f"{path.relative_to(SOURCE)}: {pattern}"
        for path in SOURCE.rglob("*.py")
        for pattern in _patterns(path)
        if _UNESCAPED.search(pattern)
    }
    assert found == set()
