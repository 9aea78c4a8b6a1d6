"""Names whose lists grow: strings with the values of this version, which a client must not take for all there will be.

They are described by `x-extensible-enum`, which generators read as a plain string:
https://opensource.zalando.com/restful-api-guidelines/#112. A closed `enum` would make a client refuse the next value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypeAliasType

from hutong import channels
from hutong.api.error_codes import ERROR_CODES


def _name(what: str, values: Callable[[], Iterable[str]], *, unknown: str, **bounds: Any) -> Any:
    """Describe a name whose list grows. The values are listed when a description is made, not at import.

    Args:
        unknown: What a client takes a value for that it does not know.
    """

    def add(schema: dict[str, Any]) -> None:
        schema["x-extensible-enum"] = sorted({str(value) for value in values()})

    grows = f" Values may be added: treat one that you do not know as {unknown}."
    return Field(description=what + grows, json_schema_extra=add, **bounds)


def _methods() -> Iterable[str]:
    return (method for adapter in channels.adapters().values() for method in adapter.capabilities.methods)


def _wallets() -> Iterable[str]:
    methods = (adapter.capabilities.methods for adapter in channels.adapters().values())
    return (method.wallet_of(name) for each in methods for name, method in each.items())


def _unified_codes() -> Iterable[str]:
    maps = (channels.codes.load_codes(adapter.code_map) for adapter in channels.adapters().values())
    return (meaning.unified_code for one in maps for meaning in one.values())


def _event_types() -> Iterable[str]:
    from hutong.api.schemas.event import EVENT_TYPES  # the types contain the objects that have such names

    return (event.name for event in EVENT_TYPES)


PaymentMethod = TypeAliasType(
    "PaymentMethod",
    Annotated[
        str,
        _name(
            "A payment method.",
            _methods,
            unknown="a method that needs no special handling",
            pattern=r"^[a-z0-9_]{1,32}$",
        ),
    ],
)
Wallet = TypeAliasType(
    "Wallet",
    Annotated[str, _name("The brand by which payers know a method.", _wallets, unknown="a brand without a mark")],
)
ChannelName = TypeAliasType(
    "ChannelName", Annotated[str, _name("A channel.", channels.adapters, unknown="another channel")]
)
UnifiedCode = TypeAliasType(
    "UnifiedCode",
    Annotated[
        str,
        _name(
            "What a channel has answered, in the same terms for every channel.",
            _unified_codes,
            unknown="another reason for the same state",
        ),
    ],
)
EventTypeName = TypeAliasType(
    "EventTypeName",
    Annotated[
        str,
        _name(
            "A type of event.",
            _event_types,
            unknown="an event to acknowledge and ignore",
            pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$",
            max_length=100,
        ),
    ],
)
ErrorCode = TypeAliasType(
    "ErrorCode",
    Annotated[
        str,
        _name(
            "The stable name of an error, for programs.",
            lambda: ERROR_CODES,
            unknown="any other error with this HTTP status",
        ),
    ],
)
