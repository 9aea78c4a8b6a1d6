"""A database of their own for tests of routing, which share its state and empty its tables."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hutong.db import Database
from support import migrated_database


@pytest.fixture(scope="module")
async def routing_database(server_url: str) -> AsyncIterator[Database]:
    url = migrated_database(server_url)
    async with Database.open(url, size=8) as opened:
        yield opened
