"""What commands about routing share: the accounts there are, how they are doing, and who acts."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from hutong import app, channels, db, operators, routing
from hutong.cli.common import load_settings, read_key, with_database
from hutong.clock import SystemClock
from hutong.errors import InvalidParameter
from hutong.ids import Ids

T = TypeVar("T")
_FILE_BYTES_MAX = 1 << 20
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def with_routing(work: Callable[[db.Database, routing.RoutingState], Awaitable[T]]) -> T:
    """Do something with the database and with routing as the running processes share it."""
    settings, clock = load_settings(), SystemClock()

    async def look(database: db.Database) -> T:
        async with channels.Http.open() as http:
            accounts = channels.Accounts(database, app.open_vault(settings), http, clock)

            async def offers() -> list[channels.Offer]:
                found = await accounts.offers()
                # The sandbox's accounts are beside the point where there are real ones.
                return [offer for offer in found if not offer.sandbox] or found

            live = routing.RoutingState(draw=lambda: 0.0)
            sharing = routing.StateSync(database, live, clock=clock, process_id=new_id(), offers=offers)
            await sharing.look(clock.now())
            return await work(database, live)

    return with_database(look, settings)


async def acting(tx: db.Tx, key: Path) -> UUID:
    """Who acts, by the key in a file; he may act where one person is enough.

    Errors:
        Unauthorized, NotPermitted.
    """
    operator = await operators.authenticate(tx, read_key(key))
    operators.require(operator, operators.Role.OPERATOR)
    return operator.operator_id


async def standing_document(database: db.Database) -> tuple[int, dict[str, object]]:
    """The configuration in force and its number; none is version 0."""
    async with database.transaction() as tx:
        version = await routing.current_version(tx)
        return version, {} if version == 0 else dict((await routing.find_published(tx, version)).document)


def read_text(file: Path) -> str:
    """Read a file that somebody has written.

    Errors:
        InvalidParameter: there is none, it is too large, or it is not text.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidParameter(f"{file} cannot be read: {error.strerror}", param="FILE") from error
    if len(text) > _FILE_BYTES_MAX:
        raise InvalidParameter(f"{file} is larger than a configuration may be", param="FILE")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise InvalidParameter(f"{file} is not text in UTF-8", param="FILE") from None


def moment(text: str, option: str, *, now: datetime, back: bool = False) -> datetime:
    """An instant with its zone, or how far away it is, such as 30m, 2h or 1d.

    Args:
        back: Whether far away means in the past.
    """
    match = re.fullmatch(r"(\d{1,4})([mhd])", text)
    if match is not None:
        away = timedelta(**{_UNITS[match[2]]: int(match[1])})
        return now - away if back else now + away
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParameter("is neither an instant nor such as 30m, 2h or 1d", param=option) from None
    # Without a zone it is as in the logs.
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def new_id() -> UUID:
    """A number for something new."""
    return Ids(SystemClock()).new()
