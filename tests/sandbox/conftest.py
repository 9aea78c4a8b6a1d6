"""A sandbox of its own for each test that changes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.wechat.keys import WeChatSandboxKeys


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture(scope="session")
def keys(folder: Path) -> WeChatSandboxKeys:
    return WeChatSandboxKeys.load(folder / "wechat")


@pytest.fixture
async def url(keys: WeChatSandboxKeys, folder: Path) -> AsyncIterator[str]:
    async with serve(SandboxSettings(folder, speed=1000)) as opened:
        yield opened
