"""A sandbox of its own for each test that changes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from hutong.clock import ManualClock
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from support.sandbox_merchant import SPEED, Merchant


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


@pytest.fixture
async def notices() -> AsyncIterator[tuple[str, asyncio.Queue[tuple[dict[str, str], bytes]]]]:
    """An address that accepts notifications, and the headers and bodies of those that have arrived."""
    taken: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        taken.put_nowait((dict(request.headers), await request.read()))
        return web.Response(text="success")

    app = web.Application()
    app.router.add_post("/notify", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/notify", taken
    await runner.cleanup()


@pytest.fixture
async def merchant(keys: WeChatSandboxKeys, folder, clock: ManualClock) -> AsyncIterator[Merchant]:
    async with (
        serve(SandboxSettings(folder, speed=SPEED, clock=clock)) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Merchant(session, url, keys, clock)
