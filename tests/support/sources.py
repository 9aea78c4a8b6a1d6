"""The parsed source, which many tests of the house read: each file is parsed once."""

from __future__ import annotations

import ast
import io
import tokenize
from functools import cache
from pathlib import Path


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file, which nobody changes."""
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's syntax tree."""
    return tuple(ast.walk(tree(path)))


@cache
def tokens(path: Path) -> tuple[tokenize.TokenInfo, ...]:
    """The tokens of a file."""
    return tuple(tokenize.generate_tokens(io.StringIO(path.read_text()).readline))
