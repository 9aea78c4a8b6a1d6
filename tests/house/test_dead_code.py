"""What stands in the source is used by the source: no function that only tests call, no class name twice."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

from support.sources import nodes, tree

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hutong"
FILES = sorted(SOURCE.rglob("*.py"))
OTHERS = [path for folder in ("examples", "docs/ext") for path in sorted((ROOT / folder).rglob("*.py"))]
DECORATED = re.compile(
    r"\.(command|callback|get|post|put|patch|delete|exception_handler|middleware)\(|validator|serializer"
)
"""Decorators that hand a function to a framework, which calls it."""

CALLED_BY_OTHERS = {
    "connection_lost",  # asyncio
    "connection_made",  # asyncio
    "eof_received",  # asyncio
    "emit",  # logging
    "get_route_handler",  # FastAPI
    "invoke",  # click
    "parse_args",  # click
    "pause_writing",  # asyncio
    "resume_writing",  # asyncio
}
"""Methods that a library calls by their names."""

EXTENSIONS: dict[str, str] = {
    "get_account_balances": "TigerBeetle's client has it",
    "get_account_transfers": "TigerBeetle's client has it",
    "lookup_accounts": "TigerBeetle's client has it",
    "query_accounts": "TigerBeetle's client has it",
    "query_transfers": "TigerBeetle's client has it",
}
"""Functions that the documentation offers and nothing in the house uses, by name, each with its purpose."""

SEVERAL: dict[str, str] = {
    "Source": "a consumer stands alone: its source of messages, and the source of a state",
}
"""Class names of several packages, each with the reason."""


def definitions() -> dict[str, list[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]]:
    """Functions and methods that no framework calls, by name."""
    found: dict[str, list[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]] = defaultdict(list)
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                handed = any(DECORATED.search(ast.unparse(decorator) + "(") for decorator in node.decorator_list)
                if not handed and not node.name.startswith("__"):
                    found[node.name].append((path, node))
    return found


def mentions() -> Counter[str]:
    """How often each name is read in the source, apart from imports and from lists of exported names."""
    counts: Counter[str] = Counter()
    for path in [*FILES, *OTHERS]:
        for node in nodes(path):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                counts[node.id] += 1
            elif isinstance(node, ast.Attribute):
                counts[node.attr] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "__init__.py":
                counts.update(re.findall(r"^\w+$", node.value))
    text = (ROOT / "pyproject.toml").read_text()
    counts.update(re.findall(r'^\w+ = "hutong[\w.]*:(\w+)"', text, re.MULTILINE))
    return counts


@cache
def lines_of_names(path: Path) -> dict[str, list[int]]:
    """The lines of a file on which each name stands."""
    lines: dict[str, list[int]] = defaultdict(list)
    for node in nodes(path):
        if isinstance(node, ast.Name | ast.Attribute):
            lines[node.id if isinstance(node, ast.Name) else node.attr].append(node.lineno)
    return lines


def inside(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> int:
    """How often a function mentions itself, with its decorators."""
    first = min(each.lineno for each in (node, *node.decorator_list))
    return sum(first <= line <= (node.end_lineno or 0) for line in lines_of_names(path).get(name, ()))


def test_no_function_is_there_for_tests_only() -> None:
    counts = mentions()
    unused = {
        f"{path.relative_to(SOURCE)}: {name}"
        for name, places in definitions().items()
        for path, _ in places
        if name not in CALLED_BY_OTHERS | EXTENSIONS.keys()
        and counts[name] <= sum(inside(path, node, name) for path, node in places)
    }
    assert unused == set()


def test_class_names_are_unique_across_packages() -> None:
    packages: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                packages[node.name].add(str(path.relative_to(SOURCE)))
    twice = {name for name, paths in packages.items() if len({path.split("/")[0] for path in paths}) > 1}
    assert twice - SEVERAL.keys() == set()
