"""The vocabulary is used as it is meant: codes are unique, the environment is read in one place."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections import Counter
from pathlib import Path

import pytest

import hutong
from hutong.errors import HutongError
from support.sources import nodes

SOURCE = Path(__file__).parents[2] / "src" / "hutong"
SAME_CODE_MEANT = {"_WrongCount"}  # never leaves its module by this name


def error_classes() -> list[type[HutongError]]:
    for module in pkgutil.walk_packages(hutong.__path__, "hutong."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[HutongError]] = []
    todo: list[type[HutongError]] = [HutongError]
    while todo:
        found.append(current := todo.pop())
        todo += current.__subclasses__()
    return sorted((c for c in set(found) if c.__module__.startswith("hutong")), key=lambda c: c.__name__)


CLASSES = error_classes()


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_each_error_has_a_code_of_its_own_and_says_what_it_means(error: type[HutongError]) -> None:
    assert "code" in vars(error), "a code is not inherited"
    assert error.code.replace("_", "").isalpha()
    assert error.code == error.code.lower()
    assert error.__doc__
    assert 400 <= error.http_status < 600


def test_codes_are_unique() -> None:
    codes = Counter(error.code for error in CLASSES if error.__name__ not in SAME_CODE_MEANT)
    assert [code for code, count in codes.items() if count > 1] == []


@pytest.mark.parametrize(
    "path", [path for path in sorted(SOURCE.rglob("*.py")) if path.name != "config.py"], ids=lambda path: path.name
)
def test_only_the_configuration_reads_the_environment(path: Path) -> None:
    for node in nodes(path):
        named = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else [named]
        for name in names:
            assert name not in {"environ", "environb", "getenv", "getenvb", "putenv"}, f"line {node.lineno}: {name}"
