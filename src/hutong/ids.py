"""Identifiers: UUIDs inside, TypeIDs outside (`pay_01h…`).

An id carries the zone that made it, so that any id routes to its home without a lookup. Most are UUIDv7:

    48 bits  milliseconds since 1970
     4 bits  version (7)
     8 bits  zone
     4 bits  random
     2 bits  variant
    62 bits  random

An id that is also our number at a channel is derived from the merchant's own number instead, as a UUIDv8: the same
layout, with bits of a keyed hash in place of the time and the random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

from typeid import TypeID
from typeid.core.errors import TypeIDException

from hutong.clock import Clock, to_ns
from hutong.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    import uuid_utils

ZONE_MAX = 255
_ZONE_BITS = ZONE_MAX << 68
_FIXED_BITS = 0xF << 76 | _ZONE_BITS | 0b11 << 62
_UUID_LENGTH = 36


class Ids:
    """A source of identifiers; the clock and the random bits are inputs.

    Args:
        clock: The source of the leading milliseconds.
        random_bits: Returns this many random bits; in production they must not be guessable.
        zone: The zone of this process, 0 to 255.
        key: The installation's key for derived ids. Without one, anybody who knows the names can compute them.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        random_bits: Callable[[int], int] = secrets.randbits,
        zone: int = 0,
        key: bytes = b"",
    ) -> None:
        if not 0 <= zone <= ZONE_MAX:
            raise ValueError("`zone` must be a number from 0 to 255")
        self._clock = clock
        self._random_bits = random_bits
        self._zone = zone
        self._key = key

    def new(self) -> UUID:
        """Return a new UUIDv7. Ids of later milliseconds sort after earlier ones."""
        milliseconds = self._clock.now_ns() // 1_000_000
        random = self._random_bits(66)
        return UUID(
            int=milliseconds << 80
            | 0x7 << 76
            | self._zone << 68
            | (random >> 62) << 64
            | 0b10 << 62
            | random & (1 << 62) - 1
        )

    def derive(self, kind: str, *names: str | int | UUID) -> UUID:
        """Return the UUIDv8 of these names: always the same under one key, and in no order.

        Args:
            kind: Separates the ids of different types of objects.
        """
        texts = [str(name).encode() for name in (kind, *names)]
        message = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
        digest = int.from_bytes(hmac.digest(self._key, message, hashlib.sha256)[:16], "big")
        return UUID(int=digest & ~_FIXED_BITS | 0x8 << 76 | self._zone << 68 | 0b10 << 62)


def least(instant: datetime) -> UUID:
    """Return the lower bound of the ids made from this instant's millisecond on; earlier ids lie below it.

    Before 1970 there are no ids: such an instant has the lowest of all as its bound.
    """
    return UUID(int=max(to_ns(instant) // 1_000_000, 0) << 80)


def encode(prefix: str, identifier: UUID) -> str:
    """Return the public form of an id: the prefix, an underscore, 26 characters of lower-case base32."""
    return str(TypeID.from_uuid(suffix=cast("uuid_utils.UUID", identifier), prefix=prefix))


def decode(prefix: str, text: str) -> UUID:
    """Read the public form of an id.

    Errors:
        NotFound: the text is malformed, or the id is of another type. No such object can exist, so the answer is
            the same as for an absent one.
    """
    try:
        parsed = TypeID.from_string(text)
    except TypeIDException as error:
        raise NotFound("no object has this id") from error
    if parsed.prefix != prefix or str(parsed) != text:
        raise NotFound("no object has this id")
    return UUID(int=parsed.uuid.int)


def read_any(text: str, *, param: str) -> UUID:
    """Read an id of any type in its public form, or as a plain UUID.

    Errors:
        InvalidParameter: the text is neither.
    """
    try:
        return UUID(text) if len(text) == _UUID_LENGTH else decode(text.partition("_")[0], text)
    except (ValueError, NotFound) as error:
        raise InvalidParameter(f"`{param}` is neither a public id nor a UUID", param=param) from error
