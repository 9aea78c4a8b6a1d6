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

_GROWS = " Values may be added: treat one that you do not know as {unknown}."


def _values(values: Callable[[], Iterable[str]]) -> Callable[[dict[str, Any]], None]:
    """Return what adds the values to a schema. They are listed when a description is made, not at import."""

    def add(schema: dict[str, Any]) -> None:
        schema["x-extensible-enum"] = sorted({str(value) for value in values()})

    return add


def _methods() -> Iterable[str]:
    return (method for adapter in channels.adapters().values() for method in adapter.capabilities.methods)


def _wallets() -> Iterable[str]:
    methods = (adapter.capabilities.methods for adapter in channels.adapters().values())
    return (method.wallet or name.partition("_")[0] for each in methods for name, method in each.items())


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
        Field(
            pattern=r"^[a-z0-9_]{1,32}$",
            description="A payment method." + _GROWS.format(unknown="a method that needs no special handling"),
            json_schema_extra=_values(_methods),
        ),
    ],
)
Wallet = TypeAliasType(
    "Wallet",
    Annotated[
        str,
        Field(
            description="The brand by which payers know a method." + _GROWS.format(unknown="a brand without a mark"),
            json_schema_extra=_values(_wallets),
        ),
    ],
)
ChannelName = TypeAliasType(
    "ChannelName",
    Annotated[
        str,
        Field(
            description="A channel." + _GROWS.format(unknown="another channel"),
            json_schema_extra=_values(channels.adapters),
        ),
    ],
)
UnifiedCode = TypeAliasType(
    "UnifiedCode",
    Annotated[
        str,
        Field(
            description="What a channel has answered, in the same terms for every channel."
            + _GROWS.format(unknown="another reason for the same state"),
            json_schema_extra=_values(_unified_codes),
        ),
    ],
)
EventTypeName = TypeAliasType(
    "EventTypeName",
    Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$",
            max_length=100,
            description="A type of event." + _GROWS.format(unknown="an event to acknowledge and ignore"),
            json_schema_extra=_values(_event_types),
        ),
    ],
)
ErrorCode = TypeAliasType(
    "ErrorCode",
    Annotated[
        str,
        Field(
            description="The stable name of an error, for programs."
            + _GROWS.format(unknown="any other error with this HTTP status"),
            json_schema_extra=_values(lambda: ERROR_CODES),
        ),
    ],
)
