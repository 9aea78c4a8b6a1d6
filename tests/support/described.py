"""The OpenAPI documents of an application, and whether an answer is one that they name."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from fastapi import FastAPI

PROBLEM = "application/problem+json"


class Described:
    """Both documents of one application."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    @cached_property
    def merchant(self) -> Any:
        return self._app.state.descriptions["merchant"].document

    @cached_property
    def operator(self) -> Any:
        return self._app.state.descriptions["operator"].document

    @cached_property
    def whole(self) -> Any:
        """Both in one, for tests that go through everything."""
        documents = [self.merchant, self.operator]
        components = {
            part: {name: one for document in documents for name, one in document["components"][part].items()}
            for part in ("schemas", "examples", "securitySchemes")
        }
        paths = {path: operations for document in documents for path, operations in document["paths"].items()}
        return self.merchant | {"paths": paths, "components": components}

    @cached_property
    def _codes(self) -> list[tuple[str, re.Pattern[str], set[str]]]:
        found = []
        for path, operations in sorted(self.whole["paths"].items(), key=lambda item: item[0].count("{")):
            pattern = re.compile(re.sub(r"\{\w+\}", "[^/]*", path))
            found += [(method.upper(), pattern, codes_of(operation)) for method, operation in operations.items()]
        return found

    def refuses(self, method: str, path: str, code: str) -> bool:
        """Whether the operation at an address does not name a code; False for an address that is not described."""
        plain = path.partition("?")[0]
        for verb, pattern, codes in self._codes:
            if verb == method and pattern.fullmatch(plain):
                return code not in codes
        return False


def codes_of(operation: Any) -> set[str]:
    """The codes that an operation names."""
    contents = [answer.get("content", {}).get(PROBLEM, {}) for answer in operation["responses"].values()]
    return {code for content in contents for code in content.get("examples", {})}
