"""Inputs of commands about routing: the shared state, the configuration in force, the acting operator, files, times."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from hutong import app, channels, db, operators, routing
from hutong.cli.common import as_utc, load_settings, read_key, with_database
from hutong.clock import SystemClock
from hutong.errors import InvalidParameter
from hutong.ids import Ids

T = TypeVar("T")
_FILE_BYTES_MAX = 1 << 20
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def with_routing(work: Callable[[db.Database, routing.RoutingState], Awaitable[T]]) -> T:
    """Run `work` with the database and with the routing state that the running processes share."""
    settings, clock = load_settings(), SystemClock()

    async def run(database: db.Database) -> T:
        async with channels.Http.open() as http:
            accounts = channels.Accounts(database, app.open_vault(settings), http, clock)

            async def offers() -> list[channels.Offer]:
                offered = await accounts.offers()
                # Sandbox accounts do not matter if there are real ones.
                return [offer for offer in offered if not offer.sandbox] or offered

            state = routing.RoutingState(draw=lambda: 0.0)
            state_sync = routing.StateSync(database, state, clock=clock, process_id=new_id(), offers=offers)
            await state_sync.sync(clock.now())
            return await work(database, state)

    return with_database(run, settings)


async def acting_operator(tx: db.Tx, key: Path) -> UUID:
    """Authenticate the operator by the key in a file, for what one person may do alone.

    Errors:
        Unauthorized, NotPermitted.
    """
    operator = await operators.authenticate(tx, read_key(key))
    operators.require(operator, operators.Role.OPERATOR)
    return operator.operator_id


class Draft(NamedTuple):
    """A checked draft, and the version in force that it would replace; version 0 if there is none."""

    version: int
    document: dict[str, Any]
    configuration: routing.Configuration


async def read_draft(database: db.Database, state: routing.RoutingState, source: str) -> Draft:
    """Check the text of a file against the configuration in force and the accounts.

    Errors:
        ConfigurationRefused, RulesRefused: each begins with the line.
    """
    async with database.transaction() as tx:
        active = await routing.current_configuration(tx)
    file = routing.ConfigurationFile(source, active=active.document)
    configuration = file.check(version=active.version + 1, candidates=state.candidates)
    return Draft(active.version, file.document, configuration)


def read_text(file: Path) -> str:
    """Read a text file.

    Errors:
        InvalidParameter: it does not exist, is too large, or is not text.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidParameter(f"{file} cannot be read: {error.strerror}", param="FILE") from error
    if len(text) > _FILE_BYTES_MAX:
        raise InvalidParameter(f"{file} is too large for a configuration", param="FILE")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise InvalidParameter(f"{file} is not text in UTF-8", param="FILE") from None


def read_instant(text: str, option: str, *, now: datetime, back: bool = False) -> datetime:
    """Return an instant that is given with its zone, or by its distance from now, such as 30m, 2h or 1d.

    Args:
        back: Whether a distance leads into the past.
    """
    match = re.fullmatch(r"(\d{1,4})([mhd])", text)
    if match is not None:
        distance = timedelta(**{_UNITS[match[2]]: int(match[1])})
        return now - distance if back else now + distance
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParameter(
            f"{option} must be an instant or a duration such as 30m, 2h or 1d", param=option
        ) from None
    found = as_utc(instant, option)
    assert found is not None
    return found


def new_id() -> UUID:
    """Return a new identifier."""
    return Ids(SystemClock()).new()
