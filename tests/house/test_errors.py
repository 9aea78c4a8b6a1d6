"""Errors speak in sentences, and only the packages that speak HTTP know its statuses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.sources import nodes

SOURCE = Path(__file__).parents[2] / "src" / "hutong"
FILES = sorted(SOURCE.rglob("*.py"))
STATUSES = frozenset({200, 201, 202, 204, 400, 401, 402, 403, 404, 409, 410, 422, 429, 500, 502, 503, 504})
SPEAK_HTTP = {
    "api",
    "cashier",
    "channels",
    "consumer",
    "sandbox",
    "bench",
    "demo",
    "cli",
    "errors.py",
    "http_requests.py",
}
SENDS_HTTP = "events/webhooks/"
"""Webhooks are HTTP requests, so their answers have statuses."""

HEADLESS = re.compile(
    r"f?['\"](?:is|are|was|lies|names|says|holds|has|have|fits|begins|needs|ends|must|may|cannot"
    r"|larger|more than|less|at most|not more)\b"
)
"""A detail that begins so has no subject: the parameter is named elsewhere, if at all."""


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def package(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


def statuses(path: Path) -> Iterator[ast.AST]:
    """Numbers that stand where a status would: returned with a body, compared, named, or passed as one."""
    for node in nodes(path):
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


def test_no_status_of_http_below_the_api() -> None:
    found = [
        f"{name(path)}: line {node.lineno}: {ast.unparse(node)}"  # type: ignore[attr-defined]
        for path in FILES
        if package(path) not in SPEAK_HTTP and path.name != "errors.py" and not name(path).startswith(SENDS_HTTP)
        for node in statuses(path)
    ]
    assert found == []


def details(path: Path) -> Iterator[tuple[int, str]]:
    """The details of errors that name a parameter, each with its line."""
    for node in nodes(path):
        if not isinstance(node, ast.Call) or all(keyword.arg != "param" for keyword in node.keywords):
            continue
        if node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr):
            yield node.lineno, ast.unparse(node.args[0])


def test_error_details_are_sentences_with_a_subject() -> None:
    found = [
        f"{name(path)}: line {line}: {detail}"
        for path in FILES
        for line, detail in details(path)
        if HEADLESS.match(detail) or detail.rstrip("'\"").endswith(".")
    ]
    assert found == []
