"""An account at the Stripe simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from hutong.channels import Http
from support.stripe_world import World, open_world


@pytest.fixture
async def world(sandbox_url: str, sandbox_folder: Path, http: Http, now: datetime) -> AsyncIterator[World]:
    async with open_world(sandbox_url, sandbox_folder, http, now) as opened:
        yield opened
