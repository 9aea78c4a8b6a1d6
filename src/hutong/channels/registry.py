"""The installed channel adapters: their capabilities, their credentials, and the making of a callable account.

Adapters are found by the entry point group `hutong.channels`: the name of the entry point is the channel's name, its
value the class. Any installed package may add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from typing import Any, ClassVar, Protocol, cast

from pydantic import BaseModel, ValidationError

from hutong.channels.capability import Capabilities
from hutong.channels.codes.codes import Codes, load_codes
from hutong.channels.http import Http
from hutong.channels.protocol import Channel
from hutong.errors import InvalidParameter
from hutong.field_errors import sentence

GROUP = "hutong.channels"


class Adapter(Protocol):
    """The class of a channel adapter.

    Attributes:
        capabilities: Those of an account that may do all that the channel can; an account's settings may narrow its
            methods.
        Credentials: The model of an account's credentials. It forbids unknown fields, hides its input in errors, and
            reads `sandbox` and `stored` (bool) from the validation context where a rule depends on them.
        code_map: The data file with the meanings of the channel's codes; see `read_codes`.
        documented_codes: The data file with the codes that the channel documents: CSV with the columns interface,
            code, sub_code, source. It is kept apart from the map, so that the map can be measured against it.
    """

    capabilities: ClassVar[Capabilities]
    Credentials: ClassVar[type[BaseModel]]
    code_map: ClassVar[Traversable]
    documented_codes: ClassVar[Traversable]

    def __call__(self, credentials: Any, http: Http, codes: Codes) -> Channel:
        """Make one account callable. Keys are parsed here, once."""
        ...


@cache
def adapters() -> Mapping[str, Adapter]:
    """Return all installed adapters by the channel's name."""
    return {entry.name: cast("Adapter", entry.load()) for entry in entry_points(group=GROUP)}


def adapter(channel: str) -> Adapter:
    """Return the adapter of a channel.

    Errors:
        InvalidParameter: no adapter of this name is installed.
    """
    entry = adapters().get(channel)
    if entry is None:
        raise InvalidParameter("no adapter for this channel is installed", param="channel")
    return entry


def read_credentials(
    channel: str, credentials: Mapping[str, object], *, sandbox: bool, stored: bool = False
) -> BaseModel:
    """Validate the credentials of an account.

    Args:
        stored: They were checked when they were stored and have not been altered since.

    Errors:
        InvalidParameter: `param` names the first wrong field, as "credentials.name"; no value is repeated.
    """
    try:
        return adapter(channel).Credentials.model_validate(
            dict(credentials), context={"sandbox": sandbox, "stored": stored}
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(["credentials", *(str(part) for part in first["loc"])])
        raise InvalidParameter(sentence(first, param), param=param) from None


def make_channel(channel: str, credentials: Mapping[str, object], http: Http, *, sandbox: bool) -> Channel:
    """Return one account ready to be called, with the code map that ships: to test an adapter without a database.

    Errors:
        InvalidParameter: as `read_credentials`.
    """
    channel_class = adapter(channel)
    codes = Codes(load_codes(channel_class.code_map))
    return channel_class(read_credentials(channel, credentials, sandbox=sandbox), http, codes)
