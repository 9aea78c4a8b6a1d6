"""The database for a command that does something with it and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hutong import app, db
from hutong.config import Settings

T = TypeVar("T")


def in_transaction(settings: Settings, work: Callable[[db.Tx], Awaitable[T]]) -> T:
    """Find or start the database, bring it up to date, and commit `work`."""
    return with_database(settings, lambda database: database.run(work))


def with_database(settings: Settings, work: Callable[[db.Database], Awaitable[T]]) -> T:
    """Find or start the database, bring it up to date, and do `work`; what was started here ends with it."""

    async def run(url: str) -> T:
        async with db.Database.open(url, size=2) as database:
            return await work(database)

    with app.using_database(settings) as url:
        db.migrate(url)
        return asyncio.run(run(url))
