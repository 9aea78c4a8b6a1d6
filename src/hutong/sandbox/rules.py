"""The published rules of a channel's interfaces, read from a data file, and the check of requests against them.

Each channel has a file `rules.toml` in its folder. It holds facts only, each with its public source:

    [sets.order]                      # fields that several interfaces share
    "amount.total" = { type = "integer", required = true, range = [1, 2147483647] }

    [interfaces."POST /v3/pay/transactions/native"]
    source = "https://…"              # where the channel publishes these rules
    sets = ["order"]
    fields."payer.openid" = { required = true, chars = [1, 128] }

A field is named by its path; "*" stands for every entry of a list or an object. A rule of a nested field holds where
its parent is given. PublishedRules are checked in the order of the file, an interface's sets first.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hutong.money import from_major

_YUAN = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,2})?")
_CHARACTERS: Mapping[str, re.Pattern[str]] = {
    "ascii": re.compile(r"[\x21-\x7e]*"),
    "digits": re.compile(r"[0-9]*"),
    "letters_and_digits": re.compile(r"[0-9A-Za-z]*"),
    "basic": re.compile(r"[^\U00010000-\U0010ffff]*"),
}


class Fault(StrEnum):
    """What is wrong with a field."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    TYPE = "type"
    EMPTY = "empty"
    SHORT = "short"
    LONG = "long"
    CHARACTERS = "characters"
    FORM = "form"
    CHOICE = "choice"
    BELOW = "below"
    ABOVE = "above"


IN_ANY_MODE = frozenset({Fault.MISSING, Fault.TYPE})
"""What is refused though strict mode is off: a request with these cannot be fulfilled."""


class Rule(BaseModel):
    """The rule of one field.

    Attributes:
        type: "string" by default; "digits" is the text of an integer, "yuan" an amount with at most two decimals,
            "time" a text of the form `time` ("rfc3339", or a form of strptime).
        required_without: A field without which this one is required.
        required_when: A field, and its value with which this one is required; `required_from` a field, and the number
            from which on.
        chars, bytes, columns: The least and the greatest length: in characters, in bytes of UTF-8, or in columns, of
            which all but the characters of ASCII take two.
        entries: The least and the greatest number of entries of a list or an object; `names` the greatest length of an
            entry's name.
        characters: The alphabet: visible ASCII, digits, letters and digits, or characters up to U+FFFF ("basic").
        excludes: Characters that must not occur.
        pattern: A regular expression of the whole text.
        choices: The only values.
        range: The least and the greatest number; of "yuan" in minor units.
        least_by: The field beside this one, a currency, by whose value `minimums`, `maximums` and `steps` of the file
            state the least and the greatest number, and what it must be a multiple of.
        name: The channel's own name of the field, for its messages; `published` its own name where ours is a part of
            a path.
        code: The channel's own code for a wrong or missing value, where it is not the usual one; `codes` by the fault.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["string", "integer", "digits", "yuan", "time", "list", "object"] = "string"
    time: str = ""
    required: bool = False
    required_without: str = ""
    required_when: tuple[str, str] | None = None
    required_from: tuple[str, int] | None = None
    chars: tuple[int, int] | None = None
    bytes: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    entries: tuple[int, int] | None = None
    names: int | None = None
    characters: Literal["ascii", "digits", "letters_and_digits", "basic"] | None = None
    excludes: str = ""
    pattern: str = ""
    choices: tuple[str, ...] = ()
    range: tuple[int, int] | None = None
    least_by: str = ""
    name: str = ""
    published: str = ""
    code: str = ""
    codes: Mapping[Fault, str] = {}

    def number(self, value: Any) -> int:
        """Return the number that a value of the right type is."""
        return from_major(str(value), "CNY") if self.type == "yuan" else int(value)


class Interface(BaseModel):
    """The rules of one interface.

    Attributes:
        source: The address at which the channel publishes them.
        sets: The shared sets of fields.
        unknown_refused: Whether the channel refuses fields that it does not know.
        code: The channel's own code for a wrong value, where it is not the usual one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(pattern=r"^https://[\w.-]+/\S+$")
    sets: tuple[str, ...] = ()
    fields: Mapping[str, Rule] = {}
    unknown_refused: bool = False
    code: str = ""


class RulesFile(BaseModel):
    """A file of rules.

    Attributes:
        characters: The alphabet of every text of every request.
        minimums, maximums: The least and the greatest amounts by currency, in the channel's units; "*" for all others.
        steps: By currency, what amounts must be a multiple of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    characters: Literal["basic"] | None = None

    sets: Mapping[str, Mapping[str, Rule]] = {}
    interfaces: Mapping[str, Interface]
    minimums: Mapping[str, int] = {}
    maximums: Mapping[str, int] = {}
    steps: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule.

    Attributes:
        path: The field, with the names or places of the entries that "*" stands for.
        limit: The length, number or pattern that the value does not keep.
        counted: The length of the value, where that is wrong.
        unit: What `counted` counts: "chars", "bytes", "columns", "entries" or "names".
    """

    path: tuple[str, ...]
    fault: Fault
    rule: Rule
    interface: Interface
    value: Any = None
    limit: Any = None
    counted: int | None = None
    unit: str = ""

    @property
    def code(self) -> str:
        """The channel's own code for this fault; empty where it is the usual one."""
        return self.rule.codes.get(self.fault) or self.rule.code or self.interface.code


class PublishedRules:
    """The rules of one channel.

    Attributes:
        steps: By currency, what amounts must be a multiple of.
    """

    def __init__(self, content: RulesFile) -> None:
        self.interfaces = content.interfaces
        self._characters = content.characters
        self._minimums = content.minimums
        self._maximums = content.maximums
        self.steps = content.steps
        self._fields = {
            name: {path: rule for part in (*interface.sets, "") for path, rule in _part(content, interface, part)}
            for name, interface in content.interfaces.items()
        }

    @classmethod
    def load(cls, channel: str) -> PublishedRules:
        """Load the rules of a channel.

        Errors:
            ValidationError: the file is not one of rules.
        """
        text = (files("hutong.sandbox") / channel / "rules.toml").read_text("utf-8")
        return cls(RulesFile.model_validate(tomllib.loads(text)))

    def fields(self, interface: str) -> Mapping[str, Rule]:
        """Return the rules of an interface's fields, by their paths."""
        return self._fields[interface]

    def violation(self, interface: str, content: Mapping[str, Any], *, strict: bool = True) -> Violation | None:
        """Return the first rule that a request breaks, or None.

        Args:
            interface: Its name in the file. One that is not in the file has no rules.
            strict: False ignores all faults but those of `IN_ANY_MODE`.
        """
        if interface not in self.interfaces:
            return None
        for found in self._violations(interface, content):
            if strict or found.fault in IN_ANY_MODE:
                return found
        return None

    def _violations(self, name: str, content: Mapping[str, Any]) -> Iterator[Violation]:
        interface, fields = self.interfaces[name], self._fields[name]
        if self._characters is not None:
            for path, value in _leaves(content):
                if isinstance(value, str) and not _CHARACTERS[self._characters].fullmatch(value):
                    yield Violation(path, Fault.CHARACTERS, Rule(), interface, value, self._characters)
        if interface.unknown_refused:
            known = [tuple(path.split(".")) for path in fields]
            for path, _ in _leaves(content):
                if not any(_covers(pattern, path) for pattern in known):
                    yield Violation(path, Fault.UNKNOWN, Rule(), interface)
        for pattern, rule in fields.items():
            for path, value in _places(content, tuple(pattern.split("."))):
                found = self._check(rule, path, value, content)
                if found is not None:
                    fault, more = found
                    yield Violation(path, fault, rule, interface, value, **more)

    def _check(
        self, rule: Rule, path: tuple[str, ...], value: Any, content: Mapping[str, Any]
    ) -> tuple[Fault, dict[str, Any]] | None:
        if value is None:
            return (Fault.MISSING, {}) if _is_required(rule, content) else None
        if not _is_of_type(rule, value):
            return Fault.TYPE, {}
        if rule.type in ("integer", "digits", "yuan"):
            return self._check_number(rule, path, value, content)
        return _check_entries(rule, value) if rule.type in ("list", "object") else _check_text(rule, value)

    def _check_number(
        self, rule: Rule, path: tuple[str, ...], value: Any, content: Mapping[str, Any]
    ) -> tuple[Fault, dict[str, Any]] | None:
        number = rule.number(value)
        if rule.pattern and not re.fullmatch(rule.pattern, str(value)):
            return Fault.FORM, {"limit": rule.pattern}
        if rule.range is not None:
            least, most = rule.range
            if number < least:
                return Fault.BELOW, {"limit": least}
            if number > most:
                return Fault.ABOVE, {"limit": most}
        if rule.least_by:
            beside = next(value for _, value in _places(content, (*path[:-1], rule.least_by)))
            return self._check_amount(number, str(beside).lower())
        return None

    def _check_amount(self, number: int, currency: str) -> tuple[Fault, dict[str, Any]] | None:
        least, step = self._minimums.get(currency, 0), self.steps.get(currency, 1)
        most = self._maximums.get(currency, self._maximums.get("*", number))
        if not least <= number <= most:
            return (Fault.BELOW, {"limit": least}) if number < least else (Fault.ABOVE, {"limit": most})
        return (Fault.FORM, {"limit": step}) if number % step else None


def _part(content: RulesFile, interface: Interface, name: str) -> Iterator[tuple[str, Rule]]:
    yield from (content.sets[name] if name else interface.fields).items()


def _places(content: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the places of a field whose parent is given, each with its value, or None if it has none."""
    head, rest = path[0], path[1:]
    entries: list[tuple[str, Any]] = []
    if head == "*":
        entries = _entries(content)
    elif isinstance(content, Mapping):
        entries = [(head, content.get(head))]
    for name, value in entries:
        if not rest:
            yield (name,), value
        elif value is not None:
            yield from (((name, *more), found) for more, found in _places(value, rest))


def _entries(content: Any) -> list[tuple[str, Any]]:
    if isinstance(content, list):
        return [(str(place), value) for place, value in enumerate(content)]
    return list(content.items()) if isinstance(content, Mapping) else []


def _leaves(content: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in _entries(content):
        if _entries(value):
            yield from (((name, *more), leaf) for more, leaf in _leaves(value))
        else:
            yield (name,), value


def _covers(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(part in ("*", name) for part, name in zip(pattern, path, strict=True))


def _is_required(rule: Rule, content: Mapping[str, Any]) -> bool:
    if rule.required_without:
        return _value(content, rule.required_without) is None
    if rule.required_when is not None:
        return bool(_value(content, rule.required_when[0]) == rule.required_when[1])
    if rule.required_from is not None:
        value = _value(content, rule.required_from[0])
        return isinstance(value, int) and value >= rule.required_from[1]
    return rule.required


def _value(content: Mapping[str, Any], path: str) -> Any:
    return next((value for _, value in _places(content, tuple(path.split(".")))), None)


def _is_of_type(rule: Rule, value: Any) -> bool:
    match rule.type:
        case "integer":
            return type(value) is int
        case "digits":
            return isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) is not None
        case "yuan":
            is_number = isinstance(value, str | int | float) and not isinstance(value, bool)
            return is_number and _YUAN.fullmatch(str(value)) is not None
        case "list":
            return isinstance(value, list | Mapping)
        case "object":
            return isinstance(value, Mapping)
        case "time":
            return isinstance(value, str) and _is_time(value, rule.time)
    return isinstance(value, str)


def _is_time(value: str, form: str) -> bool:
    try:
        if form == "rfc3339":
            return datetime.fromisoformat(value).tzinfo is not None
        return datetime.strptime(value, form).strftime(form) == value  # noqa: DTZ007 - only the form counts
    except ValueError:
        return False


def _check_text(rule: Rule, value: str) -> tuple[Fault, dict[str, Any]] | None:
    for unit, limits, measure in (
        ("chars", rule.chars, len),
        ("bytes", rule.bytes, _bytes),
        ("columns", rule.columns, _columns),
    ):
        if limits is not None:
            length = measure(value)
            least, most = limits
            if not least <= length <= most:
                fault = Fault.LONG if length > most else Fault.SHORT if value else Fault.EMPTY
                return fault, {"limit": most if length > most else least, "counted": length, "unit": unit}
    if rule.characters is not None and not _CHARACTERS[rule.characters].fullmatch(value):
        return Fault.CHARACTERS, {"limit": rule.characters}
    if set(rule.excludes) & set(value):
        return Fault.CHARACTERS, {"limit": rule.excludes}
    if rule.choices and value not in rule.choices:
        return Fault.CHOICE, {"limit": rule.choices}
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        return Fault.FORM, {"limit": rule.pattern}
    return None


def _bytes(text: str) -> int:
    return len(text.encode())


def _columns(text: str) -> int:
    return sum(1 if character.isascii() else 2 for character in text)


def _check_entries(rule: Rule, value: Any) -> tuple[Fault, dict[str, Any]] | None:
    entries = _entries(value)
    if rule.entries is not None:
        least, most = rule.entries
        if not least <= len(entries) <= most:
            fault, limit = (Fault.LONG, most) if len(entries) > most else (Fault.SHORT, least)
            return fault, {"limit": limit, "counted": len(entries), "unit": "entries"}
    if rule.names is not None and any(len(name) > rule.names for name, _ in entries):
        longest = max((name for name, _ in entries), key=len)
        return Fault.LONG, {"limit": rule.names, "counted": len(longest), "unit": "names"}
    return None
