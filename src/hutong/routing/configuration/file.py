"""A configuration as a file that people edit: what is wrong with it is told with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hutong.routing.configuration.configuration import Configuration, read_configuration
from hutong.routing.errors import ConfigurationRefused, RulesRefused
from hutong.routing.model import Candidate

_SPACE = re.compile(r"[ \t\r\n]*")
_scalar = json.JSONDecoder().raw_decode
Span = tuple[int, int]


class Draft:
    """A file that is to become a configuration: a whole one, in which the rules may stand as they are or as text, or a
    file of decision tables alone, which takes the place of the rules of what is in force.

    Args:
        standing: The document in force, which a file of rules changes.

    Errors:
        ConfigurationRefused: it is not JSON, names a field twice, or is no object.
    """

    def __init__(self, source: str, *, standing: Mapping[str, Any] | None = None) -> None:
        self._source = source
        self._spans: dict[tuple[str, ...], Span] = {}
        try:
            read = json.loads(source, object_pairs_hook=_object, parse_constant=_no_constant)
            _walk(source, _after_space(source, 0), (), self._spans)
        except json.JSONDecodeError as error:
            raise ConfigurationRefused(f"line {error.lineno}: not JSON: {error.msg}", param="document") from None
        except _Twice as error:
            raise ConfigurationRefused(
                f"line {self._twice(str(error))}: {error} stands twice", param="document"
            ) from None
        except RecursionError:
            raise ConfigurationRefused("line 1: nested too deeply", param="document") from None
        if not isinstance(read, dict):
            raise ConfigurationRefused("line 1: not a JSON object", param="document")
        self._rules_at: dict[str, int] = {}
        self.document = self._with_rules(standing or {}) if "nodes" in read else self._whole(read)

    def check(self, *, version: int, candidates: Sequence[Candidate] | None) -> Configuration:
        """Check it whole and make it usable.

        Args:
            candidates: The accounts there are; None leaves names unchecked.

        Errors:
            ConfigurationRefused, RulesRefused: each begins with the line.
        """
        try:
            return read_configuration(self.document, version=version, candidates=candidates)
        except RulesRefused as error:
            offset = self._rules_at.get(error.param or "")
            if offset is None:  # the rules stand as text in one line of the file
                line = self._line(error.param or "")
                raise RulesRefused(
                    f"line {line}: {error.param}, {error.detail}", line=line, param=error.param
                ) from None
            line = error.line + offset
            detail = error.detail.removeprefix(f"line {error.line}: ")
            raise RulesRefused(f"line {line}: {error.param}: {detail}", line=line, param=error.param) from None
        except ConfigurationRefused as error:
            raise ConfigurationRefused(
                f"line {self._line(error.param or '')}: {error.detail}", param=error.param
            ) from None

    def _with_rules(self, standing: Mapping[str, Any]) -> dict[str, Any]:
        policies = dict(standing.get("policies") or {})
        policies[""] = dict(policies.get("") or {}) | {"rules": self._source}
        self._rules_at["policies..rules"] = 0
        return dict(standing) | {"policies": policies}

    def _whole(self, read: dict[str, Any]) -> dict[str, Any]:
        policies = read.get("policies")
        for product, policy in policies.items() if isinstance(policies, dict) else ():
            if isinstance(policy, dict) and isinstance(policy.get("rules"), dict):
                start, end = self._spans["policies", product, "rules"]
                policy["rules"] = self._source[start:end]
                self._rules_at[f"policies.{product}.rules"] = self._source.count("\n", 0, start)
        return read

    def _line(self, param: str) -> int:
        """The line of a field, or of the part of the file in which it is missing."""
        known = {".".join(path): start for path, (start, _) in self._spans.items()}
        while param and param not in known:
            param = param.rpartition(".")[0]
        return self._source.count("\n", 0, known.get(param, 0)) + 1

    def _twice(self, name: str) -> int:
        found = [match.start() for match in re.finditer(re.escape(json.dumps(name, ensure_ascii=False)), self._source)]
        return self._source.count("\n", 0, found[-1]) + 1 if found else 1


class _Twice(Exception):
    """A field that stands twice in one object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


def _no_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not a JSON number", name, 0)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _walk(text: str, at: int, path: tuple[str, ...], spans: dict[tuple[str, ...], Span]) -> int:
    """Note where every value of a text that is known to be JSON begins and ends; returns where this one ends."""
    start = at
    if text[at] in "{[":
        closing = "}" if text[at] == "{" else "]"
        number, at = 0, _after_space(text, at + 1)
        while text[at] != closing:
            name = str(number)
            if closing == "}":
                name, at = _scalar(text, at)
                at = _after_space(text, _after_space(text, at) + 1)
            at = _after_space(text, _walk(text, at, (*path, name), spans))
            number += 1
            if text[at] == ",":
                at = _after_space(text, at + 1)
        at += 1
    else:
        at = _scalar(text, at)[1]
    spans[path] = start, at
    return at
