"""What a channel's file offers to the rest: its capabilities, what an account needs, and how to make one callable.

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

GROUP = "hutong.channels"


class Adapter(Protocol):
    """The class of a channel adapter.

    Attributes:
        capabilities: The same for all accounts of the channel.
        Credentials: What an account consists of. It forbids unknown fields, hides its input in errors, and reads
            `sandbox` and `stored` (bool) from the validation context where a rule depends on it.
        code_map: The data file that says what the channel's codes mean; see `read_codes`.
        documented_codes: The data file that lists the codes which the channel documents: CSV with the columns
            interface, code, sub_code, source. Kept apart from the map, so that the map can be measured against it.
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
    """All installed adapters by the channel's name."""
    return {entry.name: cast("Adapter", entry.load()) for entry in entry_points(group=GROUP)}


def adapter(channel: str) -> Adapter:
    """The adapter of a channel.

    Errors:
        InvalidParameter: no adapter of this name is installed.
    """
    found = adapters().get(channel)
    if found is None:
        raise InvalidParameter("no adapter for this channel is installed", param="channel")
    return found


def read_credentials(
    channel: str, credentials: Mapping[str, object], *, sandbox: bool, stored: bool = False
) -> BaseModel:
    """Check what an account consists of.

    Args:
        stored: They were checked when they were stored and have not been altered since.

    Errors:
        InvalidParameter: `param` names the first field at fault, as "credentials.name"; no value is repeated.
    """
    try:
        return adapter(channel).Credentials.model_validate(
            dict(credentials), context={"sandbox": sandbox, "stored": stored}
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = ".".join(["credentials", *(str(part) for part in first["loc"])])
        raise InvalidParameter(f"{param}: {first['msg']}", param=param) from None


def make_channel(channel: str, credentials: Mapping[str, object], http: Http, *, sandbox: bool) -> Channel:
    """One account ready to be called, with the code map that ships: to try an adapter out, without a database.

    Errors:
        InvalidParameter: as `read_credentials`.
    """
    made = adapter(channel)
    return made(read_credentials(channel, credentials, sandbox=sandbox), http, Codes(load_codes(made.code_map)))
