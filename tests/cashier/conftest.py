"""The cashier alone over real HTTP, on a life cycle that the test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, DummyCookieJar

from hutong.clock import ManualClock
from support.fakes.checkout import MemoryCheckout, cashier_app, serving


@pytest.fixture
def checkout(clock: ManualClock) -> MemoryCheckout:
    return MemoryCheckout(clock)


@pytest.fixture
async def http(checkout: MemoryCheckout) -> AsyncIterator[ClientSession]:
    """A client of a running cashier that follows no redirects by itself and keeps no cookies."""
    with serving(cashier_app(checkout)) as url:
        async with ClientSession(url, cookie_jar=DummyCookieJar()) as session:
            yield session
