"""Errors speak in sentences, and only the packages that speak HTTP know its statuses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "hutong"
FILES = sorted(SOURCE.rglob("*.py"))
STATUSES = frozenset({200, 201, 202, 204, 400, 401, 402, 403, 404, 409, 410, 422, 429, 500, 502, 503, 504})
SPEAK_HTTP = {"api", "cashier", "channels", "consumer", "sandbox", "bench", "demo", "cli", "errors.py"}
SENDS_HTTP = "events/webhooks/"
"""Webhooks are HTTP requests, so their answers have statuses."""

STATUSES_TO_BE_MOVED: set[str] = set()
"""Packages whose statuses are still to be moved to the API."""

HEADLESS = re.compile(
    r"f?['\"](?:is|are|was|lies|names|says|holds|has|have|fits|begins|needs|ends|must|may|cannot"
    r"|larger|more than|less|at most|not more)\b"
)
"""A detail that begins so has no subject: the parameter is named elsewhere, if at all."""

DETAILS_TO_BE_REWRITTEN: set[str] = set()
"""Packages whose error details are still to become sentences."""


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def package(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


def statuses(tree: ast.AST) -> Iterator[ast.AST]:
    """Numbers that stand where a status would: returned with a body, compared, named, or passed as one."""
    for node in ast.walk(tree):
        places: list[ast.AST | None] = []
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            places = [*node.value.elts]
        elif isinstance(node, ast.Compare):
            places = [node.left, *node.comparators]
        elif isinstance(node, ast.keyword) and node.arg in ("status", "status_code", "http_status"):
            places = [node.value]
        elif isinstance(node, ast.Assign):
            limit = re.search(r"MAX|LIMIT|SIZE|BYTES", ast.unparse(node.targets[0]))
            places = [] if limit else [node.value]
        elif isinstance(node, ast.Attribute) and node.attr == "http_status":
            yield node
        for place in places:
            if isinstance(place, ast.IfExp):
                places += [place.body, place.orelse]
            if isinstance(place, ast.Constant) and type(place.value) is int and place.value in STATUSES:
                yield place


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_status_of_http_below_the_api(path: Path) -> None:
    if package(path) in SPEAK_HTTP | STATUSES_TO_BE_MOVED or name(path).startswith(SENDS_HTTP):
        return
    if path.name == "errors.py":
        return
    found = [f"line {node.lineno}: {ast.unparse(node)}" for node in statuses(ast.parse(path.read_text()))]  # type: ignore[attr-defined]
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_error_details_are_sentences_with_a_subject(path: Path) -> None:
    if package(path) in DETAILS_TO_BE_REWRITTEN:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        raised = isinstance(node, ast.Call) and any(keyword.arg == "param" for keyword in node.keywords)
        if (
            raised
            and isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Constant | ast.JoinedStr)
        ):
            detail = ast.unparse(node.args[0])
            assert not HEADLESS.match(detail), f"line {node.lineno}: {detail}"
            assert not detail.rstrip("'\"").endswith("."), f"line {node.lineno}: {detail}"
