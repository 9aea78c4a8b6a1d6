"""The configuration as a file that people edit: errors in it are reported with their line."""

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


class ConfigurationFile:
    """A file that is to become a configuration.

    It holds either a whole configuration, with the rules as JSON or as text, or decision tables only, which replace the
    rules of the configuration in force.

    Args:
        active: The document in force, to which a file of decision tables is applied.

    Attributes:
        document: The configuration as a document.

    Errors:
        ConfigurationRefused: it is not JSON, names a field twice, or is no object.
    """

    def __init__(self, source: str, *, active: Mapping[str, Any] | None = None) -> None:
        self._source = source
        self._spans: dict[tuple[str, ...], Span] = {}
        try:
            read = json.loads(source, object_pairs_hook=_object, parse_constant=_no_constant)
            _walk(source, _after_space(source, 0), (), self._spans)
        except json.JSONDecodeError as error:
            raise ConfigurationRefused(f"line {error.lineno}: not JSON: {error.msg}", param="document") from None
        except _DuplicateField as error:
            raise ConfigurationRefused(
                f"line {self._last_line_of(str(error))}: {error} is given twice", param="document"
            ) from None
        except RecursionError:
            raise ConfigurationRefused("line 1: nested too deeply", param="document") from None
        if not isinstance(read, dict):
            raise ConfigurationRefused("line 1: not a JSON object", param="document")
        self._rules_at: dict[str, int] = {}
        self.document = self._with_rules(active or {}) if "nodes" in read else self._with_text_rules(read)

    def check(self, *, version: int, candidates: Sequence[Candidate] | None) -> Configuration:
        """Check the whole file and return its configuration, ready to be used.

        Args:
            candidates: The existing accounts; None leaves names unchecked.

        Errors:
            ConfigurationRefused, RulesRefused: each begins with the line.
        """
        try:
            return read_configuration(self.document, version=version, candidates=candidates)
        except RulesRefused as error:
            offset = self._rules_at.get(error.param or "")
            if offset is None:  # the rules are text on one line of the file
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

    def _with_rules(self, active: Mapping[str, Any]) -> dict[str, Any]:
        policies = dict(active.get("policies") or {})
        policies[""] = dict(policies.get("") or {}) | {"rules": self._source}
        self._rules_at["policies..rules"] = 0
        return dict(active) | {"policies": policies}

    def _with_text_rules(self, read: dict[str, Any]) -> dict[str, Any]:
        policies = read.get("policies")
        for product, policy in policies.items() if isinstance(policies, dict) else ():
            if isinstance(policy, dict) and isinstance(policy.get("rules"), dict):
                start, end = self._spans["policies", product, "rules"]
                policy["rules"] = self._source[start:end]
                self._rules_at[f"policies.{product}.rules"] = self._source.count("\n", 0, start)
        return read

    def _line(self, param: str) -> int:
        """Return the line of a field, or of the part of the file in which the field is missing."""
        starts = {".".join(path): start for path, (start, _) in self._spans.items()}
        while param and param not in starts:
            param = param.rpartition(".")[0]
        return self._source.count("\n", 0, starts.get(param, 0)) + 1

    def _last_line_of(self, name: str) -> int:
        pattern = re.escape(json.dumps(name, ensure_ascii=False))
        starts = [match.start() for match in re.finditer(pattern, self._source)]
        return self._source.count("\n", 0, starts[-1]) + 1 if starts else 1


class _DuplicateField(Exception):
    """A field that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise _DuplicateField(name)
        fields[name] = value
    return fields


def _no_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not a JSON number", name, 0)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _walk(text: str, at: int, path: tuple[str, ...], spans: dict[tuple[str, ...], Span]) -> int:
    """Record where every value of a text, which is valid JSON, begins and ends; return where this value ends."""
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
