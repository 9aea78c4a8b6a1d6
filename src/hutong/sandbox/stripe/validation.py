"""Stripe's request bodies, forms with brackets, and their validation by Stripe's rules, which are in `rules.toml`.

Source:
    https://docs.stripe.com/error-codes; the messages as others have shown them: stripe/stripe-php#246 (metadata),
    stripe/stripe-php#943 (integers), stripe-samples/react-elements-netlify-serverless#4 (not an integer).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from hutong.sandbox.rules import Fault, PublishedRules, Violation

RULES = PublishedRules.load("stripe")
AMOUNTS = (1, 999_999_999_999)
"""The range of an amount in any currency."""
_KEY = re.compile(r"([A-Za-z0-9_]+)((?:\[[A-Za-z0-9_]*\])*)")
Form = dict[str, Any]

_INTEGER = "parameter_invalid_integer"
_MESSAGES: Mapping[Fault, tuple[str | None, str]] = {
    Fault.UNKNOWN: ("parameter_unknown", "Received unknown parameter: {param}"),
    Fault.MISSING: ("parameter_missing", "Missing required param: {param}."),
    Fault.EMPTY: ("parameter_invalid_empty", "You passed an empty string for '{param}'."),
    Fault.TYPE: (None, "Invalid object"),
    Fault.BELOW: (_INTEGER, "This value must be greater than or equal to {limit}."),
    Fault.ABOVE: (_INTEGER, "This value must be less than or equal to {limit}."),
    Fault.LONG: (None, "Invalid string: {value:.10}…; must be at most {limit} characters"),
    Fault.SHORT: (None, "Invalid array: {param}"),
    Fault.FORM: ("url_invalid", "Not a valid URL"),
    Fault.CHOICE: (None, "Invalid {param}: must be one of {limit}"),
}
_NOT_A_NUMBER = (_INTEGER, "Invalid integer: {value}")
_TOO_SMALL = ("amount_too_small", "Amount must be at least {limit}.")
_TOO_LARGE = ("amount_too_large", "Amount must be no more than {limit}.")
_STEP = (_INTEGER, "Invalid amount: must be evenly divisible by {limit}.")
_CURRENCY = (None, "Invalid currency: {value}. Stripe currently supports these currencies: {limit}")


class StripeRefusal(Exception):
    """A refusal by Stripe: its answer to a request that it does not fulfill.

    Attributes:
        kept: Whether it is kept under the Idempotency-Key. Failures of validation are not.
    """

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        kept: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.kept = kept
        error = {"code": code, "message": message, "param": param, "type": kind, **more}
        self.body = {"error": {name: value for name, value in error.items() if value is not None}}


def parse(text: str) -> Form:
    """Read `a[b][c]=1&d[]=2` as nested mappings; a name with empty brackets is a list."""
    form: Form = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        matched = _KEY.fullmatch(key)
        if matched is None:
            raise StripeRefusal(400, "parameter_unknown", f"Received unknown parameter: {key}", param=key)
        names = [matched[1], *re.findall(r"\[([^\]]*)\]", matched[2])]
        place: Any = form
        for name, following in pairwise(names):
            place = place.setdefault(name, [] if following == "" else {})
            if not isinstance(place, dict | list):
                raise StripeRefusal(400, None, "Invalid object", param=key)
        if isinstance(place, list):
            place.append(value)
        else:
            place[names[-1]] = value
    return form


def check(interface: str, form: Form, *, strict: bool) -> None:
    """Check the parameters of a call by the rules of its interface.

    Errors:
        StripeRefusal: they break one.
    """
    found = RULES.violation(interface, form, strict=strict)
    if found is None:
        return
    first, *rest = found.path
    param = first + "".join(f"[{name}]" for name in rest)
    if found.fault is Fault.LONG and "metadata" in found.path:
        is_name = found.unit == "names"
        text = f"key: {max(found.value, key=len)}" if is_name else f"val: {found.value}"
        message = f"Invalid {text} must be a string under {found.limit} characters"
        raise StripeRefusal(400, None, message, param="metadata")
    code, message = _message(found)
    limit = ", ".join(found.limit) if isinstance(found.limit, tuple) else found.limit
    raise StripeRefusal(400, code, message.format(param=param, value=found.value, limit=limit), param=param)


def check_step(amount: int, currency: str, name: str) -> None:
    """Refuse an amount with a part that the currency of its intent does not have at Stripe."""
    step = RULES.steps.get(currency.lower(), 1)
    if amount % step:
        raise StripeRefusal(400, _INTEGER, _STEP[1].format(limit=step), param=name)


def _message(found: Violation) -> tuple[str | None, str]:
    if found.fault is Fault.TYPE:
        is_empty, is_number = found.value == "", found.rule.type == "digits"
        return _MESSAGES[Fault.EMPTY] if is_empty else _NOT_A_NUMBER if is_number else _MESSAGES[Fault.TYPE]
    if found.unit == "entries":
        return _MESSAGES[Fault.SHORT]
    if found.fault is Fault.BELOW and found.rule.range is not None and found.limit != found.rule.range[0]:
        return _TOO_SMALL
    if found.fault is Fault.ABOVE and found.rule.range == AMOUNTS:
        return _TOO_LARGE
    if found.fault is Fault.FORM and found.rule.type == "digits":
        return _STEP
    return _CURRENCY if found.fault is Fault.CHOICE and found.path[-1] == "currency" else _MESSAGES[found.fault]


def page(items: list[Any], query: Mapping[str, str], name: Callable[[Any], str], path: str) -> dict[str, Any]:
    """Cut one page of a list by Stripe's rules."""
    limit, start = int(query.get("limit", "10")), 0
    if "starting_after" in query:
        places = [at for at, item in enumerate(items) if name(item) == query["starting_after"]]
        if not places:
            raise StripeRefusal(
                400, "resource_missing", f"No such id: '{query['starting_after']}'", param="starting_after"
            )
        start = places[-1] + 1
    listed = items[start : start + limit]
    return {"object": "list", "data": listed, "has_more": len(items) > start + limit, "url": path}


def expands(form: Form, path: str) -> bool:
    """Return whether the caller asks for the object at this path, or for one below it, as a whole."""
    expand = form.get("expand", [])
    names = expand.values() if isinstance(expand, dict) else expand
    return any(isinstance(name, str) and (name == path or name.startswith(path + ".")) for name in names)
