"""Meanings of channels' codes, as data. An unmapped code is UNKNOWN: neither a success nor a failure."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from typing import Any

from hutong.channels.model import ChannelState
from hutong.errors import InvalidParameter

UNMAPPED = "unmapped"
COLUMNS = (
    "interface",
    "code",
    "sub_code",
    "unified_code",
    "state",
    "retryable",
    "action",
    "text_en",
    "text_zh",
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of one code.

    Attributes:
        unified_code: The same term for the same thing at every channel, such as "insufficient_funds".
        retryable: Whether another attempt, later or elsewhere, may bring another answer.
        action: The next step, such as "query", "change_method", "fix_configuration", "none".
        text_en, text_zh: For the payer, without anything that only the merchant should know.
        entry: The entry of the map that has this meaning, as "interface/code/sub_code"; empty outside a map.
    """

    unified_code: str
    state: ChannelState
    retryable: bool
    action: str
    text_en: str
    text_zh: str
    entry: str = field(default="", compare=False)


_TERM = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LENGTHS = {"interface": (1, 64), "code": (1, 128), "sub_code": (0, 128), "text_en": (0, 500), "text_zh": (0, 500)}

Key = tuple[str, str, str]
"""Interface, code, sub-code. Interface "*" stands for every interface, an empty sub-code for every sub-code."""


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """One entry of a channel's map."""

    channel: str
    interface: str
    code: str
    sub_code: str
    meaning: Meaning

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The code that the entry explains."""
        return self.channel, self.interface, self.code, self.sub_code

    @property
    def name(self) -> str:
        """The key as one text: channel/interface/code, and /sub-code if there is one."""
        return "/".join((self.channel, _entry_name(self.key[1:])))

    def document(self) -> dict[str, Any]:
        """Return the fields by the names of the data files' columns."""
        columns = dict(zip(("channel", "interface", "code", "sub_code"), self.key, strict=True))
        return columns | {name: getattr(self.meaning, name) for name in COLUMNS[3:]}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> CodeEntry:
        """Make an entry of its fields."""
        meaning = Meaning(
            fields["unified_code"],
            ChannelState(fields["state"]),
            fields["retryable"],
            fields["action"],
            fields["text_en"],
            fields["text_zh"],
        )
        return cls(fields["channel"], fields["interface"], fields["code"], fields["sub_code"], meaning)


def _entry_name(key: Key) -> str:
    return "/".join(key).removesuffix("/")


def check_entry(entry: CodeEntry) -> None:
    """Check the form of an entry.

    Errors:
        InvalidParameter: `param` names the field.
    """
    fields = entry.document()
    for name, (least, most) in _LENGTHS.items():
        if not least <= len(fields[name]) <= most or "\0" in fields[name]:
            raise InvalidParameter(f"{name} must have {least} to {most} characters", param=name)
    for name in ("unified_code", "action"):
        if not _TERM.fullmatch(fields[name]) or fields[name] == UNMAPPED:
            raise InvalidParameter(f'{name} must be in lower snake case and not "{UNMAPPED}"', param=name)


_NO_MEANING = Meaning(
    UNMAPPED,
    ChannelState.UNKNOWN,
    False,
    "query",
    "The payment is being confirmed.",
    "正在确认支付结果。",
    UNMAPPED,
)


_NOT_FAILED = frozenset({ChannelState.PENDING, ChannelState.AUTHORIZED, ChannelState.SUCCEEDED})


class Codes:
    """One channel's code map.

    Args:
        on_unmapped: Called for each unmapped code: interface, code, sub-code, message.
    """

    def __init__(
        self,
        meanings: Mapping[Key, Meaning],
        on_unmapped: Callable[[str, str, str, str], None] = lambda *_: None,
    ) -> None:
        self._on_unmapped = on_unmapped
        self.replace(meanings)

    def replace(self, meanings: Mapping[Key, Meaning]) -> None:
        """Replace the map; every holder of this object uses the new one at once."""
        self._meanings = {key: replace(meaning, entry=_entry_name(key)) for key, meaning in meanings.items()}
        entries = (_NO_MEANING, *self._meanings.values())
        self._texts = {m.entry: (m.text_en, m.text_zh) for m in entries if m.text_en and m.text_zh}
        self._undecided = {m.entry for m in entries if m.state in _NOT_FAILED or m.text_en == _NO_MEANING.text_en}

    def text(self, entry: str, *, failed: bool = False) -> tuple[str, str] | None:
        """Return the text for payers of one entry, in English and in Chinese; None where it has none.

        Args:
            entry: As `Meaning.entry` of what `read` has returned.
            failed: Whether it is for a payment that has failed, which no text may call open or paid.
        """
        return None if failed and entry in self._undecided else self._texts.get(entry)

    def find(self, interface: str, code: str, sub_code: str = "") -> Meaning | None:
        """Return the most specific entry: exact, without the sub-code, for every interface; None if there is none."""
        meanings = self._meanings
        return (
            meanings.get((interface, code, sub_code))
            or meanings.get((interface, code, ""))
            or meanings.get(("*", code, sub_code))
            or meanings.get(("*", code, ""))
        )

    def read(self, interface: str, code: str, sub_code: str = "", *, message: str = "") -> Meaning:
        """Look up a channel's code. An unmapped code is reported and means UNKNOWN."""
        meaning = self.find(interface, code, sub_code)
        if meaning is None:
            self._on_unmapped(interface, code, sub_code, message)
            return _NO_MEANING
        return meaning


def read_codes(lines: Iterable[str]) -> dict[Key, Meaning]:
    """Read a map from its data file: CSV with the columns `COLUMNS`.

    Errors:
        ValueError: a column is missing, a value is invalid, or an entry occurs twice; the text names the line.
    """
    reader = csv.DictReader(lines, strict=True)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"the columns must be {','.join(COLUMNS)}")
    meanings: dict[Key, Meaning] = {}
    for row in reader:
        where = f"line {reader.line_num}"
        key = (row["interface"], row["code"], row["sub_code"])
        if None in row or None in row.values() or not (row["interface"] and row["code"] and row["unified_code"]):
            raise ValueError(f"{where}: a value is missing")
        if key in meanings:
            raise ValueError(f"{where}: {key} occurs twice")
        if row["state"] not in set(ChannelState):
            raise ValueError(f"{where}: unknown state: {row['state']}")
        if row["retryable"] not in ("yes", "no"):
            raise ValueError(f"{where}: retryable must be yes or no")
        entry = CodeEntry.read({"channel": "", **row, "retryable": row["retryable"] == "yes"})
        try:
            check_entry(entry)
        except InvalidParameter as error:
            raise ValueError(f"{where}: {error.detail}") from None
        meanings[key] = entry.meaning
    return meanings


def load_codes(file: Traversable) -> dict[Key, Meaning]:
    """Read a map from a file that ships with an adapter."""
    with file.open(encoding="utf-8") as lines:
        return read_codes(lines)
