"""Sentences about wrong fields of requests, documents and settings; each names its field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

FORMS: Mapping[str, str] = {
    r"^[A-Z]{3}$": "three capital letters, such as CNY",
    r"^(acc|bka)_[0-7][0-9a-z]{25}$": "the id of an account, such as acc_01h455vb4pex5vsknk084sn02q",
    r"^[a-z0-9_.-]{1,64}$": "a name of up to 64 small letters, digits, dots, hyphens and underscores",
    r"^[\x21-\x7e]{1,64}$": "1 to 64 visible ASCII characters without blanks",
    r"^[\x21-\x7e]{1,97}$": "1 to 97 visible ASCII characters without blanks",
    r"^[\x21-\x7e]{1,255}$": "1 to 255 visible ASCII characters without blanks",
    r"^[\x21-\x7e]+$": "visible ASCII characters without blanks",
    r"^https?://[\x21-\x7e]{1,2000}$": "an address that begins with https:// or http:// and has no blanks",
    r"^[a-z0-9_]{1,32}$": "a name of up to 32 small letters, digits and underscores, such as wechat_native",
    r"^[a-z0-9_]{0,32}$": "a name of up to 32 small letters, digits and underscores",
    r"^[a-z][a-z0-9_]{0,31}$": "a name of up to 32 small letters, digits and underscores that begins with a letter",
    r"^[a-z][a-z0-9_]{0,63}$": "a name of up to 64 small letters, digits and underscores that begins with a letter",
    r"^[a-z][a-z_]{0,63}$": "a name of up to 64 small letters and underscores",
    r"^(\*|[a-z][a-z0-9_]{0,63})$": "a name of up to 64 small letters, digits and underscores, or *",
    r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$": "the name of an event type, such as payment.succeeded",
    r"^[a-z0-9_.]+$": "the name of an event type, such as payment.succeeded",
    r"^[A-Za-z0-9._-]{1,64}$": "1 to 64 letters, digits, dots, hyphens and underscores",
    r"^[A-Za-z0-9_-]{1,64}$": "the `next_cursor` of the previous page",
    r"^([1-9][0-9]{0,17}|[1-8][0-9]{18})$": "the `next_cursor` of the previous page",
    r"^[1-9][0-9]{0,17}$": "the `next_cursor` of the previous page",
    r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": "a UUID in small letters with hyphens",
    r"^([a-z]{3}_[0-7][0-9a-z]{25}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$": (
        "an id, such as pay_01h455vb4pex5vsknk084sn02q, or a UUID with hyphens"
    ),
    r"^[\x20-\x7e]{1,128}$": "1 to 128 ASCII characters",
    r"^\S(.*\S)?$": "a text without blanks at its ends",
    r"^[0-9A-Za-z][0-9A-Za-z ./-]{0,63}$": "1 to 64 letters, digits, blanks, dots, slashes and hyphens",
    r"^[0-9a-f]{16,64}$": "16 to 64 hexadecimal digits in small letters",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits in small letters",
    r"^acc_[0-7][0-9a-z]{25}\.[0-9]{1,17}$": "the `next_cursor` of the previous page",
    r"^[0-9]{4}(-(0[1-9]|1[0-2]))?$": "a month or a year, such as 2026-03 or 2026",
}
"""By the pattern of a field, what it must be. Ids have patterns of their own."""

UNKNOWN_FORM = "of the form that the reference describes"

_ID = re.compile(r"\^\(?([a-z]{3})(?:\|[a-z]{3})*\)?_\[0-7\]\[0-9a-z\]\{25\}\$")

_SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_type": "must be a text",
    "string_unicode": "must be a text in UTF-8",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number that is not so large",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "date_type": "must be a date, such as 2026-03-31",
    "date_parsing": "must be a date, such as 2026-03-31",
    "date_from_datetime_parsing": "must be a date, such as 2026-03-31",
    "datetime_type": "must be an instant, such as 2026-01-01T12:00:00Z",
    "datetime_parsing": "must be an instant, such as 2026-01-01T12:00:00Z",
    "datetime_from_date_parsing": "must be an instant, such as 2026-01-01T12:00:00Z",
}
"""By the type of a validation error, the predicate of its sentence. Bounds come from the error."""

_PREDICATE = re.compile(r"(is|must|has|contains|cannot) ")


def field_of(location: Sequence[object]) -> str:
    """Return the dotted path of a field from the location of an error, which begins with the part of the request."""
    parts = [str(part) for part in location]
    if parts[0] == "header":
        parts = [part.title() for part in parts]
    return ".".join(parts[1:]) or parts[0]


def sentence(error: Mapping[str, Any], field: str | None = None) -> str:
    """Return what is wrong with a field, as a sentence that names it.

    Args:
        error: An error of the validation, as pydantic describes it.
        field: The name of the field; by default its path in the request.
    """
    if not _has_no_subject(error):
        return _own_words(error)
    if field is None:
        return f"{_subject(error['loc'])} {_predicate(error)}"
    return f"`{field}` {'is not known' if error['type'] == 'extra_forbidden' else _predicate(error)}"


def _subject(location: Sequence[object]) -> str:
    field = field_of(location)
    if field == "body":
        return "the body"
    if location[-1] == "[key]":
        return f"a name in `{field_of(location[:-2])}`"
    return f"`{field}`"


def _has_no_subject(error: Mapping[str, Any]) -> bool:
    return error["type"] != "value_error" or bool(_PREDICATE.match(_own_words(error)))


def _own_words(error: Mapping[str, Any]) -> str:
    """Return the text of a rule of ours, with or without the context that may have been left out."""
    return str(error["msg"]).removeprefix("Value error, ")


def _predicate(error: Mapping[str, Any]) -> str:
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind == "value_error":
        return _own_words(error)
    if kind == "string_pattern_mismatch":
        return f"must be {form_of(context['pattern'])}"
    if kind in ("enum", "literal_error"):
        return f"must be {str(context['expected']).replace(chr(39), '')}"
    if kind in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "must not be empty"
    bounds = {name: int(it) if isinstance(it, float) and it.is_integer() else it for name, it in context.items()}
    return _SENTENCES[kind].format(**bounds) if kind in _SENTENCES else "has a value that is not allowed"


def form_of(pattern: str) -> str:
    """Return what a field with this pattern must be."""
    if (known := _ID.fullmatch(pattern)) is not None:
        return f"an id, such as {known[1]}_01h455vb4pex5vsknk084sn02q"
    return FORMS.get(pattern, UNKNOWN_FORM)
