"""Sentences that say what is wrong with a field or a parameter, in place of those of the validation library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ID = re.compile(r"\^\(?([a-z|]+)\)?_\[0-7\]\[0-9a-z\]\{25\}\$")
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ANY_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

FORMS: Mapping[str, str] = {
    r"^[\x21-\x7e]+$": "visible ASCII characters without blanks",
    r"^[\x21-\x7e]{1,64}$": "1 to 64 visible ASCII characters without blanks",
    r"^[\x21-\x7e]{1,97}$": "a channel, or a channel and its account such as `wechat/main`",
    r"^[\x21-\x7e]{1,255}$": "1 to 255 visible ASCII characters without blanks",
    r"^[A-Z]{3}$": "three capital letters such as CNY",
    r"^[A-Za-z0-9._-]{1,64}$": "1 to 64 letters, digits, dots, hyphens and underscores",
    r"^[A-Za-z0-9_-]{1,64}$": "the `next_cursor` of a page of the same list",
    r"^([1-9][0-9]{0,17}|[1-8][0-9]{18})$": "the `next_cursor` of a page of the same list",
    r"^[1-9][0-9]{0,17}$": "the `next_cursor` of a page of the same list",
    rf"^{_UUID}$": "the `next_cursor` of a page of the same list",
    rf"^([a-z]{{3}}_[0-7][0-9a-z]{{25}}|{_ANY_UUID})$": "an id such as `pay_…`, or a UUID with hyphens",
    r"^https?://[\x21-\x7e]{1,2000}$": "an address that begins with `https://` or `http://`",
    r"^[a-z0-9_]{0,32}$": "at most 32 small letters, digits and underscores",
    r"^[a-z0-9_]{1,32}$": "1 to 32 small letters, digits and underscores",
    r"^[a-z0-9_.]+$": "a type such as `payment.succeeded`",
    r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$": "a type such as `payment.succeeded`",
    r"^[a-z][a-z0-9_]{0,31}$": "1 to 32 small letters, digits and underscores, a letter first",
    r"^[a-z][a-z0-9_]{0,63}$": "1 to 64 small letters, digits and underscores, a letter first",
    r"^[a-z][a-z_]{0,63}$": "1 to 64 small letters and underscores, a letter first",
    r"^(\*|[a-z][a-z0-9_]{0,63})$": "`*`, or 1 to 64 small letters, digits and underscores, a letter first",
    r"^[0-9]{4}(-(0[1-9]|1[0-2]))?$": "a month such as 2026-03, or a year such as 2026",
}
"""What the patterns of the API ask for. Ids are read from their patterns."""

_KINDS = {
    "bool_type": "true or false", "bytes_type": "a text", "date_from_datetime_inexact": "a date such as 2026-03-31",
    "date_from_datetime_parsing": "a date such as 2026-03-31", "date_parsing": "a date such as 2026-03-31",
    "dict_type": "an object", "finite_number": "a finite number", "float_parsing": "a number", "float_type": "a number",
    "int_from_float": "a whole number", "int_parsing": "a whole number", "int_parsing_size": "a whole number",
    "int_type": "a whole number", "list_type": "a list", "model_attributes_type": "an object",
    "model_type": "an object",
    "string_type": "a text", "string_unicode": "a text in UTF-8", "uuid_parsing": "a UUID with hyphens",
    "uuid_type": "a UUID with hyphens",
}  # fmt: skip
"""What must be there instead, by the library's name of the fault."""


def sentence(param: str, error: Mapping[str, Any]) -> str:
    """Return a sentence about a parameter at fault, without a period.

    Args:
        error: The fault as the validation library describes it: `type`, `ctx`, `msg`.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        text = str(context["error"])
        return text if text.startswith(("`", "either")) else f"`{param}` {text}"
    return f"`{param}` {_predicate(kind, context) or error['msg']}"


def _predicate(kind: str, context: Mapping[str, Any]) -> str | None:
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}"
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field of this request"
        case "enum" | "literal_error":
            return f"must be {context['expected']}"
        case "string_pattern_mismatch":
            return f"must be {form(context['pattern'])}"
        case "greater_than_equal" | "less_than_equal":
            return f"must be at least {context['ge']}" if "ge" in context else f"must be at most {context['le']}"
        case "greater_than" | "less_than":
            return f"must be more than {context['gt']}" if "gt" in context else f"must be less than {context['lt']}"
        case "string_too_short" | "too_short":
            return f"must have at least {_count(context['min_length'], kind)}"
        case "string_too_long" | "too_long":
            return f"must have at most {_count(context['max_length'], kind)}"
    return None


def _count(number: int, kind: str) -> str:
    thing = "character" if kind.startswith("string") else "entry"
    return f"{number} {thing if number == 1 else {'character': 'characters', 'entry': 'entries'}[thing]}"


def form(pattern: str) -> str:
    """Return what a pattern asks for, as text for people."""
    found = _ID.fullmatch(pattern)
    if found is None:
        return FORMS.get(pattern, "of another form")
    prefixes = [f"`{prefix}_…`" for prefix in found[1].split("|")]
    return f"an id such as {' or '.join(prefixes)}"
