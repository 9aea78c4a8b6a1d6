"""The tables of facts name a public source, or say that there is none, and tests that there are, for each fact."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    ROOT / "docs" / "guides" / f"{channel}.md": "| fact | source | proven by |"
    for channel in ("wechat", "alipay", "unionpay", "stripe")
} | {ROOT / "docs" / "reference" / "simulators.md": "| fact | source | played by |"}


@cache
def names_of_tests() -> frozenset[str]:
    texts = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return frozenset(name for text in texts for name in re.findall(r"def (test_\w+)", text))


def facts(page: Path, heading: str) -> list[list[str]]:
    rows = []
    for table in page.read_text().split(f"{heading}\n|---|---|---|\n")[1:]:
        rows += [line.strip("|").split("|") for line in table.split("\n\n")[0].splitlines()]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize(("page", "heading"), PAGES.items(), ids=lambda value: getattr(value, "stem", ""))
def test_each_fact_has_a_source_and_a_test(page: Path, heading: str) -> None:
    rows = facts(page, heading)
    assert len(rows) >= 7
    for fact, source, proof in rows:
        assert fact
        assert re.search(r"\]\(https://[\w.-]+/", source) or source.startswith("not confirmed by a "), fact
        tests = re.findall(r"`(\w+)`", proof)
        assert tests, fact
        assert set(tests) <= names_of_tests(), fact
