"""The house speaks the field's English: no private words, first lines that say what is done, tests' names included."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sources import nodes, tokens, tree

SOURCE = Path(__file__).parents[2] / "src" / "hutong"
TESTS = Path(__file__).parents[1]
FILES = sorted(SOURCE.rglob("*.py"))
TEST_FILES = [path for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__)]
SQL_FILES = [path for path in sorted(SOURCE.rglob("*.sql")) if path.parent.name != "migrations"]
BANNED = {
    r"said|told|heard": "answered, reported, notified",
    r"wish|wishes|wished": "request",
    r"learnt": "recorded, known from; the source",
    r"anew": "again, new",
    r"for ever": "permanently, forever",
    r"of before": "previous",
    r"as it stands": "current",
    r"what (?:came|comes|has come|will come) of": "the outcome of",
    r"whoever|whatever came": "name the subject",
    r"words?": "answer, text, term, reason",
    r"(?:a|an|the|each|one|another|every|this|that|first|last|next|no|any|open|its|other|new|same) try": "attempt",
    r"(?<!it )tries(?! to\b| again\b| it\b)": "attempts",
    r"he|his|him|himself": "they, their, the payer, the operator",
}
"""What is not written, and what is written instead; see the glossary in the documentation."""

PATTERN = re.compile(r"(?<![\w-])(?:" + "|".join(BANNED) + r")(?![\w-])", re.IGNORECASE)
NAMES = frozenset(
    {"told", "said", "hear", "heard", "wish", "wishes", "word", "words", "untold", "unadded", "learnt"}
    | {"_told", "_said", "_wish", "_word"}
)
ANY_NAME = re.compile(r"\b(?:" + "|".join(sorted(NAMES)) + r")\b")
OPENINGS = frozenset({"What", "Whether", "How", "Where", "Who", "Whose", "Which", "Why", "When"})
"""What the first line of a function or of a module does not begin with."""


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE if path.is_relative_to(SOURCE) else TESTS))


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The comments and strings of a file, each with its line. Identifiers, keys and addresses are no prose."""
    for token in tokens(path):
        text = token.string
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and " " in text):
            yield token.start[0], re.sub(r"`[^`]*`|\{[^}]*\}|https?://\S+", "", text)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_prose_uses_the_terms_of_the_glossary(path: Path) -> None:
    found = [f"line {line}: {match[0]}" for line, text in prose(path) for match in PATTERN.finditer(text)]
    assert found == []


@pytest.mark.parametrize("path", SQL_FILES, ids=name)
def test_comments_of_statements_use_the_terms_of_the_glossary(path: Path) -> None:
    comments = re.findall(r"--(?! name:| columns:)[^\n]*", path.read_text())
    assert [match[0] for text in comments for match in PATTERN.finditer(text)] == []


@pytest.mark.parametrize("path", [*FILES, *TEST_FILES], ids=name)
def test_names_are_nouns_and_verbs_of_the_field(path: Path) -> None:
    if not ANY_NAME.search(path.read_text()):  # then no token is one of them, and reading all tokens takes its time
        return
    names = [token for token in tokens(path) if token.type == tokenize.NAME]
    assert [f"line {token.start[0]}: {token.string}" for token in names if token.string in NAMES] == []


@pytest.mark.parametrize("path", TEST_FILES, ids=name)
def test_names_of_tests_use_the_terms_of_the_glossary(path: Path) -> None:
    named = [node for node in nodes(path) if hasattr(node, "name") and hasattr(node, "body")]
    assert [node.name for node in named if PATTERN.search(str(node.name).replace("_", " ").strip())] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_first_lines_say_what_is_done(path: Path) -> None:
    opening = (ast.get_docstring(tree(path)) or "").split(" ")[0]
    assert opening not in OPENINGS, "the module's docstring is a noun phrase"
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            read = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
            opening = (ast.get_docstring(node) or "").split(" ")[0]
            assert read or opening not in OPENINGS, f"line {node.lineno}: {node.name} begins with {opening}"
