"""Every error code with its status, meaning, cause and remedy: the one table, in error_codes.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class ErrorCodeEntry:
    """One error code as the reference shows it. The texts are Markdown.

    Attributes:
        status: The HTTP status that it is answered with.
        meaning: What it says about the request.
        cause: What usually leads to it.
        action: What to do.
    """

    status: int
    meaning: str
    cause: str
    action: str


def _read() -> Mapping[str, ErrorCodeEntry]:
    text = resources.files(__package__).joinpath("error_codes.toml").read_text()
    return {code: ErrorCodeEntry(**entry) for code, entry in tomllib.loads(text).items()}


ERROR_CODES = _read()
"""The entries by code."""
