"""One transaction for a command that changes something and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hutong import app, db
from hutong.config import Settings

T = TypeVar("T")


def in_transaction(settings: Settings, work: Callable[[db.Tx], Awaitable[T]]) -> T:
    """Find or start the database, bring it up to date, and commit `work`."""
    url = app.database_url(settings)
    db.migrate(url)

    async def run() -> T:
        async with db.Database.open(url, size=2) as database:
            return await database.run(work)

    return asyncio.run(run())
