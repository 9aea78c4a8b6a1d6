"""A WeChat Pay simulator that answers for real, and an account that points at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hutong.channels import Codes, Http
from hutong.channels.codes.codes import load_codes
from hutong.channels.wechat.adapter import WeChatPay
from hutong.channels.wechat.credentials import WeChatCredentials
from hutong.clock import SystemClock
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from support.channel_rigs import NAMES, Bench, Control, Rig, make_rig


@pytest.fixture(scope="session")
def sandbox_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture(scope="session")
def keys(sandbox_folder: Path) -> WeChatSandboxKeys:
    return WeChatSandboxKeys.load(sandbox_folder / "wechat")


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody else's sandbox."""
    return tmp_path_factory.mktemp("other")


@pytest.fixture(scope="session")
def other_keys(other_folder: Path) -> WeChatSandboxKeys:
    """The keys of somebody else."""
    return WeChatSandboxKeys.load(other_folder / "wechat")


@pytest.fixture(scope="session")
async def sandbox_url(keys: WeChatSandboxKeys, sandbox_folder: Path) -> AsyncIterator[str]:
    async with serve(SandboxSettings(sandbox_folder, speed=1000)) as url:
        yield url


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[Http]:
    async with Http.open(connect_timeout_s=2, total_timeout_s=2) as opened:
        yield opened


@pytest.fixture
def now() -> Any:
    return SystemClock().now()


@pytest.fixture
async def control(sandbox_url: str) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as session:
        made = Control(sandbox_url, session)
        yield made
        await made.post("reset")


@pytest.fixture(params=NAMES)
async def rig(
    request: pytest.FixtureRequest, sandbox_url: str, sandbox_folder: Path, other_folder: Path, http: Http
) -> AsyncIterator[Rig]:
    """Each adapter with its simulator."""
    async with aiohttp.ClientSession() as session:
        made = make_rig(request.param, Bench(sandbox_url, sandbox_folder, other_folder, http, session))
        yield made
        await made.control.post("reset")


@dataclass
class Receiver:
    """Takes notifications as a platform would, in the order they came."""

    url: str
    taken: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)
    answers: list[int] = field(default_factory=list)
    """The statuses to answer with, first to last; 204 when there are no more."""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receive() as made:
        yield made


@asynccontextmanager
async def receive() -> AsyncIterator[Receiver]:
    made = Receiver("")

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        made.taken.put_nowait((headers, await request.read()))
        return web.Response(status=made.answers.pop(0) if made.answers else 204)

    app = web.Application()
    app.router.add_post("/notify", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
    try:
        yield made
    finally:
        await runner.cleanup()


MakeChannel = Callable[..., WeChatPay]


@pytest.fixture
def make_channel(keys: WeChatSandboxKeys, sandbox_url: str, http: Http) -> MakeChannel:
    default = http

    def make(*, public_key_mode: bool = True, http: Http | None = None, **changed: object) -> WeChatPay:
        raw = keys.credentials(sandbox_url, public_key_mode=public_key_mode) | changed
        credentials = WeChatCredentials.model_validate(raw, context={"sandbox": True})
        return WeChatPay(credentials, http or default, Codes(load_codes(WeChatPay.code_map)))

    return make


@pytest.fixture
def channel(make_channel: MakeChannel) -> WeChatPay:
    return make_channel()


@dataclass
class OwnSandbox:
    """A sandbox for one test alone, whose keys may rotate."""

    url: str
    session: aiohttp.ClientSession
    make: MakeChannel

    def channel(self, **changed: Any) -> WeChatPay:
        return self.make(base_url=self.url, **changed)

    async def post(self, verb: str, **fields: Any) -> None:
        async with self.session.post(f"{self.url}/control/wechat/{verb}", json=fields or None) as response:
            response.raise_for_status()

    @staticmethod
    def learned(channel: WeChatPay) -> list[str]:
        """The serials of the certificates that the adapter believes."""
        return [serial for serial, *_ in channel._keys.validity()]


@pytest.fixture
async def sandbox(sandbox_folder: Path, make_channel: MakeChannel) -> AsyncIterator[OwnSandbox]:
    async with serve(SandboxSettings(sandbox_folder)) as url, aiohttp.ClientSession() as session:
        yield OwnSandbox(url, session, make_channel)
