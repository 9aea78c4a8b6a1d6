"""Text that others have written: what it may hold, and how it is shown to people.

A control character can move the cursor of a terminal, and a bidirectional one can show a text in another order than it
is stored in; neither belongs to a name or a subject, and both are shown as escapes.
"""

from __future__ import annotations

import json
import re
import unicodedata

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")
"""Letters and symbols that have no picture; what Unicode calls format characters or marks comes beside them."""

_SHOWN_AS_ESCAPE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean_text(text: str) -> str:
    """Return a text unchanged.

    Errors:
        ValueError: it has a control character or a bidirectional one, or nothing that can be seen.
    """
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ValueError("contains a control character or half of a surrogate pair")
        if character in _BIDI:
            raise ValueError("contains a control character of bidirectional text")
    if not any(_is_visible(character) for character in text):
        raise ValueError("is blank")
    return text


def _is_visible(character: str) -> bool:
    return character not in _INVISIBLE and unicodedata.category(character)[0] not in "ZCM"


def storable_text(text: str | None, length: int | None = None) -> str | None:
    """Return a text as PostgreSQL stores it: without what it has no character for, and cut to a length."""
    return text and text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:length]


def escape(text: str, *, lines: bool = False) -> str:
    """Return a text as it is shown on terminals, in logs and on pages: what is unseen or moves others as an escape.

    Args:
        lines: Keep line ends and tabs.
    """
    shown = _SHOWN_AS_ESCAPE.sub(_escaped, text)
    return shown if lines else shown.replace("\n", "\\n").replace("\t", "\\t")


def escape_json(text: str) -> str:
    """Return a JSON text of the same meaning, in which what is unseen or moves others is escaped as JSON has it."""
    return _SHOWN_AS_ESCAPE.sub(lambda match: json.dumps(match[0])[1:-1] if match[0] != "\x7f" else "\\u007f", text)


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
