"""Stripe's request bodies, forms with brackets, and their validation by Stripe's rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from hutong.sandbox.stripe.currencies import MAXIMUM, MAXIMUMS, MINIMUMS, STEPS

_KEY = re.compile(r"([A-Za-z0-9_]+)((?:\[[A-Za-z0-9_]*\])*)")

Form = dict[str, Any]


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


def check_names(form: Form, names: Iterable[str], prefix: str = "") -> None:
    """Refuse names that are not parameters of the interface."""
    for name in form.keys() - set(names):
        param = f"{prefix}[{name}]" if prefix else name
        raise StripeRefusal(400, "parameter_unknown", f"Received unknown parameter: {param}", param=param)


def required(form: Form, name: str) -> Any:
    """Return a required parameter."""
    if name not in form:
        raise StripeRefusal(400, "parameter_missing", f"Missing required param: {name}.", param=name)
    if form[name] == "":
        raise StripeRefusal(400, "parameter_invalid_empty", f"You passed an empty string for '{name}'.", param=name)
    return form[name]


def integer(form: Form, name: str) -> int:
    """Read a positive integer."""
    value = required(form, name)
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise StripeRefusal(400, "parameter_invalid_integer", f"Invalid integer: {value}", param=name)
    if int(value) < 1:
        raise StripeRefusal(
            400, "parameter_invalid_integer", "This value must be greater than or equal to 1.", param=name
        )
    return int(value)


def money(form: Form, name: str, currency: object) -> tuple[int, str]:
    """Read an amount within the limits of its currency; return it with the currency."""
    amount = integer(form, name)
    if not isinstance(currency, str) or currency.lower() not in MINIMUMS:
        raise StripeRefusal(400, None, f"Invalid currency: {currency}.", param="currency")
    check_limits(amount, currency.lower(), name)
    return amount, currency.lower()


def check_limits(amount: int, currency: str, name: str) -> None:
    """Refuse an amount out of the limits of its currency, or with a part that the currency does not have."""
    most = MAXIMUMS.get(currency, MAXIMUM)
    if amount > most:
        raise StripeRefusal(400, "amount_too_large", f"Amount must be no more than {most}.", param=name)
    if amount < MINIMUMS[currency]:
        raise StripeRefusal(400, "amount_too_small", "Amount is below the minimum of this currency.", param=name)
    check_step(amount, currency, name)


def check_step(amount: int, currency: str, name: str) -> None:
    """Refuse an amount with a part that its currency does not have at Stripe."""
    step = STEPS.get(currency, 1)
    if amount % step:
        message = f"Invalid amount: {currency} amounts must be evenly divisible by {step}."
        raise StripeRefusal(400, "parameter_invalid_integer", message, param=name)


def one_of(form: Form, name: str, values: Iterable[str], default: str) -> str:
    """Read one of several values."""
    value = form.get(name, default)
    if value not in set(values):
        raise StripeRefusal(400, None, f"Invalid {name}: must be one of {', '.join(values)}", param=name)
    return str(value)


def metadata_of(form: Form) -> dict[str, str]:
    """Read the metadata, within Stripe's limits."""
    metadata = form.get("metadata", {})
    if not isinstance(metadata, dict) or len(metadata) > 50:
        raise StripeRefusal(400, None, "Invalid object", param="metadata")
    for name, value in metadata.items():
        if not isinstance(value, str) or len(name) > 40 or len(value) > 500:
            raise StripeRefusal(400, None, "Metadata values must be 500 characters or less.", param=f"metadata[{name}]")
    return dict(metadata)


def address(form: Form, name: str) -> str:
    """Read a web address."""
    value = required(form, name)
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s]{1,5000}", value):
        raise StripeRefusal(400, "url_invalid", "Not a valid URL", param=name)
    return value


def page(items: list[Any], query: Mapping[str, str], name: Callable[[Any], str], path: str) -> dict[str, Any]:
    """Cut one page of a list by Stripe's rules."""
    limit = query.get("limit", "10")
    if not limit.isdigit() or not 1 <= int(limit) <= 100:
        raise StripeRefusal(400, "parameter_invalid_integer", "limit must be between 1 and 100", param="limit")
    start = 0
    if "starting_after" in query:
        places = [at for at, item in enumerate(items) if name(item) == query["starting_after"]]
        if not places:
            raise StripeRefusal(
                400, "resource_missing", f"No such id: '{query['starting_after']}'", param="starting_after"
            )
        start = places[-1] + 1
    listed = items[start : start + int(limit)]
    return {"object": "list", "data": listed, "has_more": len(items) > start + int(limit), "url": path}


def expands(form: Form, path: str) -> bool:
    """Return whether the caller asks for the object at this path, or for one below it, as a whole."""
    expand = form.get("expand", [])
    names = expand.values() if isinstance(expand, dict) else expand
    return any(isinstance(name, str) and (name == path or name.startswith(path + ".")) for name in names)
