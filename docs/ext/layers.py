"""The packages, their purposes and their allowed imports, from the folders, the docstrings and pyproject.toml."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hutong

SOURCE = Path(hutong.__file__).parent
ROOT = SOURCE.parents[1]
DATABASE = "db"
"""This layer and those below it are the floor, which every package uses."""


@cache
def contracts() -> list[dict[str, Any]]:
    """Return the import contracts, as import-linter reads them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def layers() -> list[list[str]]:
    """Return the layers of the stack, the highest first. The packages of one layer do not import each other."""
    stack = next(contract for contract in contracts() if contract["type"] == "layers")
    return [[name.strip(" ()") for name in layer.replace(":", "|").split("|")] for layer in stack["layers"]]


@cache
def floor() -> frozenset[str]:
    """Return the names of the database package and of the vocabulary below it."""
    stack = layers()
    start = next(number for number, layer in enumerate(stack) if DATABASE in layer)
    return frozenset(name for layer in stack[start:] for name in layer)


def order() -> list[str]:
    """Return every name of the stack, the highest layer first."""
    return [name for layer in layers() for name in layer]


def package_of(file: str) -> str:
    """Return the name in the stack of a file below `src/hutong`."""
    return Path(file).parts[0].removesuffix(".py")


def purpose(path: Path) -> str:
    """Return the first paragraph of the docstring of a package or a file."""
    file = path / "__init__.py" if path.is_dir() else path
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())


def tree() -> str:
    """Return the tree of packages, each with its purpose."""
    lines = ["```text", "src/hutong/", *_branch(SOURCE, 1), "```"]
    return "\n".join(lines) + "\n"


def _branch(folder: Path, depth: int) -> Iterator[str]:
    ranks = {name: number for number, name in enumerate(order())}
    packages = [child for child in folder.iterdir() if (child / "__init__.py").exists()]
    files = [child for child in folder.glob("*.py") if not child.name.startswith("__")] if depth == 1 else []
    for child in sorted([*packages, *files], key=lambda path: (ranks.get(path.stem, len(ranks)), path.name)):
        name = "  " * depth + (f"{child.name}/" if child.is_dir() else child.name)
        yield from _entry(f"{name:<22} ", purpose(child))
        if child.is_dir():
            yield from _branch(child, depth + 1)


def _entry(start: str, text: str, *, width: int = 88) -> Iterator[str]:
    """Wrap a name and its purpose to the width."""
    line = start
    for word in text.split():
        if len(line) + len(word) > width:
            yield line.rstrip()
            line = " " * len(start)
        line += word + " "
    yield line.rstrip()


def layers_table() -> str:
    """Return the table of layers, the highest first, with the allowed imports; then the packages beside the stack."""
    stack = layers()
    rows = ["| layer | may import |", "|---|---|"]
    for number, layer in enumerate(stack):
        below = {name for lower in stack[number + 1 :] for name in lower}
        kinds: dict[str, list[str]] = {}
        for name in layer:
            kinds.setdefault(_allowed(name, below), []).append(name)
        rows += [f"| {_code(names)} | {allowed} |" for allowed, names in kinds.items()]
    beside = {child.name for child in SOURCE.iterdir() if (child / "__init__.py").exists()} - set(order())
    for name in sorted(beside):
        allowed = [other for other in order() if other not in forbidden(name)]
        rows.append(f"| `{name}`, beside the stack | {_code(allowed)} |")
    return "\n".join(rows) + "\n"


def forbidden(package: str) -> set[str]:
    """Return the names that the contracts forbid a whole package to import."""
    return {
        name.removeprefix("hutong.")
        for contract in contracts()
        if contract["type"] == "forbidden" and f"hutong.{package}" in contract["source_modules"]
        for name in contract["forbidden_modules"]
    }


def _allowed(package: str, below: set[str]) -> str:
    if not below:
        return "nothing of ours"
    but = [name for name in order() if name in below & forbidden(package)]
    return "everything below" + (f", but not {_code(but)}" if but else "")


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def contracts_table() -> str:
    """Return the table of the contracts that are narrower than the layers."""
    rows = ["| rule | holds for | must not import |", "|---|---|---|"]
    for contract in contracts():
        if contract["type"] == "forbidden":
            sources, forbidden = contract["source_modules"], contract["forbidden_modules"]
            rows.append(f"| {contract['name']} | {_modules(sources)} | {_modules(forbidden)} |")
    return "\n".join(rows) + "\n"


def _modules(names: list[str], *, most: int = 20) -> str:
    """Return the names of modules; if there are many, those of their packages."""
    shown = [name.removeprefix("hutong.") for name in names]
    if len(shown) > most:
        shown = [f"{package}.*" for package in dict.fromkeys(name.partition(".")[0] for name in shown)]
    return _code(shown)
