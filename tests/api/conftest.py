"""The running platform, and a merchant on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.running_platform import PlatformApi, Shop, platform_api

__all__ = ["platform_api"]


@pytest.fixture
async def shop(platform_api: PlatformApi) -> Shop:
    return await platform_api.shop()


@pytest.fixture
async def faultless(platform_api: PlatformApi) -> AsyncIterator[None]:
    """Takes back whatever faults the test asks the simulator for."""
    yield
    await platform_api.control("reset")
