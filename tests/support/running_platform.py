"""The real application on a free port, with its own database and the channel simulator: import the fixtures from here.

from support.running_platform import platform_api  # noqa: F401
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import re
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from yarl import URL

from hutong import api, app, channels, merchants, operators, payments
from hutong.app import web
from hutong.clock import SystemClock, to_ns
from hutong.config import Settings
from hutong.db import API_ROLE, Database
from hutong.ids import Ids, decode
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox import accounts as sandbox_accounts
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from hutong.vault import Vault
from support import migrated_database
from support.described import PROBLEM, Described

METHOD = "wechat_native"
_WRITTEN_IN_THE_BACKGROUND = {
    "channels.adopted_key", "channels.unmapped_code", "routing.basis", "routing.refusal", "routing.result",
    "routing.volume",
}  # fmt: skip
_numbers = itertools.count(1)
_RUN = secrets.token_hex(3)


FOREIGN = re.compile(
    r"\bshould\b|Value error|Input |valid (integer|string|boolean)|of the form that the reference describes"
)


class ShiftedClock:
    """The machine's clock, moved forward on demand."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._shift = timedelta(0)

    def now(self) -> datetime:
        return self._system.now() + self._shift

    def now_ns(self) -> int:
        return to_ns(self.now())

    def advance(self, delta: timedelta) -> None:
        self._shift += delta


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Shop:
    """A merchant with one of its keys."""

    merchant_id: UUID
    key: str


@dataclass
class PlatformApi:
    """The running platform as merchants, operators, channels and tests use it."""

    url: str
    sandbox_url: str
    platform: app.Platform
    admin: Database
    console: Database
    clock: ShiftedClock
    keys: WeChatSandboxKeys
    app: FastAPI
    account_ids: dict[str, UUID]
    session: aiohttp.ClientSession

    @property
    def database(self) -> Database:
        """The database with the rights of commands, and so of the worker. The platform itself has those of the API."""
        return self.console

    @property
    def lifecycle(self) -> payments.Payments:
        return self.platform.lifecycle

    @property
    def accounts(self) -> channels.Accounts:
        return self.platform.accounts

    @property
    def vault(self) -> Vault:
        return self.platform.vault

    @property
    def ids(self) -> Ids:
        return self.platform.ids

    @property
    def approval_handlers(self) -> dict[str, operators.ApprovalHandler]:
        """The handlers that the application runs; a test may add its own."""
        assert isinstance(self.platform.approval_handlers, dict)
        return self.platform.approval_handlers

    @property
    def account_id(self) -> UUID:
        """The account at WeChat Pay."""
        return self.account_ids["wechat"]

    async def shop(self, *, fee_ppm: int = 6_000, return_origins: tuple[str, ...] = ("https://shop.example",)) -> Shop:
        """Create a merchant with a key."""
        now = self.clock.now()
        async with self.database.transaction() as tx:
            new = merchants.NewMerchant(self.ids.new(), "Example Store", fee_ppm, return_origins)
            await merchants.create_merchant(tx, new, now=now)
            key = await merchants.create_api_key(
                tx, new.merchant_id, key_id=self.ids.new(), random=secrets.token_urlsafe(32), now=now
            )
        return Shop(new.merchant_id, key.secret)

    async def person(self, role: operators.Role, duties: Sequence[str] = ()) -> tuple[UUID, dict[str, str]]:
        """Create an operator, and the header with their key."""
        identifier = self.ids.new()
        async with self.database.transaction() as tx:
            key = await operators.add_operator(
                tx,
                operator_id=identifier,
                name=f"{role} {secrets.token_hex(4)}",
                role=role,
                random=secrets.token_urlsafe(32),
                reason="test",
                now=self.clock.now(),
                duties=duties,
            )
        return identifier, {"Authorization": f"Bearer {key}"}

    async def call(
        self,
        method: str,
        path: str,
        *,
        shop: Shop | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    ) -> Answer:
        """Send one request; `path` goes out unchanged."""
        sent = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
        if shop is not None:
            sent.append(("Authorization", f"Bearer {shop.key}"))
        if json is not None:
            body = orjson.dumps(json)
        if body is not None and not any(name.lower() == "content-type" for name, _ in sent):
            sent.append(("Content-Type", "application/json"))
        target = URL(f"{self.url}{path}", encoded=True)
        async with self.session.request(
            method, target, data=body, headers=sent, allow_redirects=False, skip_auto_headers=["Content-Type"]
        ) as response:
            headers = {k.lower(): v for k, v in response.headers.items()}
            answer = Answer(response.status, headers, await response.read())
        if answer.body and headers.get("content-type") == PROBLEM and answer.status < 500:
            code, detail = answer.json["code"], answer.json["detail"]
            assert not self.described.refuses(method, path, code), f"{method} {path} does not document {code}"
            assert not FOREIGN.search(detail), f"{method} {path} answers in the validation library's words: {detail}"
        return answer

    @cached_property
    def described(self) -> Described:
        """The documents of the application."""
        return Described(self.app)

    def order(self, **changed: Any) -> dict[str, Any]:
        """Return a valid order of a merchant."""
        return {
            "merchant_order_no": f"{_RUN}-{next(_numbers)}",
            "amount_minor": 1999,
            "currency": "CNY",
            "subject": "Example Store, order 123",
        } | changed

    async def create(self, shop: Shop, **changed: Any) -> Any:
        """Create a payment and place it at the channel."""
        answer = await self.call("POST", "/v1/payments", shop=shop, json=self.order(method=METHOD) | changed)
        assert answer.status == 201, answer.body
        return answer.json

    async def get(self, shop: Shop, payment_id: str) -> Any:
        answer = await self.call("GET", f"/v1/payments/{payment_id}", shop=shop)
        assert answer.status == 200, answer.body
        return answer.json

    async def until(self, shop: Shop, payment_id: str, status: str) -> Any:
        """Wait until a payment has a status, and return the payment."""
        for _ in range(500):
            if (payment := await self.get(shop, payment_id))["status"] == status:
                return payment
            await asyncio.sleep(0.02)
        raise AssertionError(f"the payment does not become {status}: {payment}")

    async def control(self, path: str, *, channel: str = "wechat", **fields: Any) -> Any:
        """Call the simulator's control API."""
        async with self.session.post(f"{self.sandbox_url}/control/{channel}/{path}", json=fields) as response:
            return await response.json()

    async def fingerprint(self) -> dict[str, tuple[int, int]]:
        """Count and hash the rows of each table: equal before and after a request means that it wrote nothing.

        Left out are the tables that background tasks of the platform write at any time.
        """
        async with self.admin.transaction() as tx:
            tables = await tx.fetch(
                "SELECT schemaname || '.' || relname AS name FROM pg_stat_user_tables "
                "WHERE schemaname <> 'public' ORDER BY 1"
            )
            found = {}
            for table in tables:
                row = await tx.fetchrow(
                    f"SELECT count(*), coalesce(sum(hashtext(t::text)), 0)::bigint FROM {table['name']} AS t"
                )
                found[table["name"]] = tuple(row)
        return {name: rows for name, rows in found.items() if name not in _WRITTEN_IN_THE_BACKGROUND}

    async def transfers_of(self, payment_id: str) -> list[Any]:
        """Return the ledger's transfers of one payment."""
        async with self.admin.transaction() as tx:
            return await tx.fetch(
                "SELECT id, debit_account_id, credit_account_id, amount, code FROM ledger.transfer "
                "WHERE user_data_128 = $1 ORDER BY code",
                decode("pay", payment_id),
            )


class _Server(uvicorn.Server):
    """Leaves the signals of the test run alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@pytest.fixture(scope="session")
async def platform_api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PlatformApi]:
    """The platform, the simulator and a database of their own for the whole run. No worker: tests poll themselves."""
    database_url = await asyncio.to_thread(migrated_database, server_url)
    clock = ShiftedClock()
    folder = tmp_path_factory.mktemp("platform-sandbox")
    keys = WeChatSandboxKeys.load(folder / "wechat")
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = Settings(
        home=folder,
        database_url=SecretStr(database_url),
        secret_key=SecretStr(base64.b64encode(secrets.token_bytes(32)).decode()),
        public_url=url,
        sandbox=True,
        avatar_base_url="https://cdn.example/{merchant_id}/",
        log_format="console",
        idle_timeout_s=300,
    )
    async with contextlib.AsyncExitStack() as stack:
        # Thousands of generated requests come without a key, all from one address.
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setattr("hutong.api.guesses.DELAY_S", 0.0)
        patched.setattr("hutong.api.application.FLUSH_EVERY_S", 3600.0)  # tests write the traces of what is denied
        sandbox_url = await stack.enter_async_context(serve(SandboxSettings(folder, speed=1000, clock=clock)))
        admin = await stack.enter_async_context(Database.open(database_url, size=2, role=None))
        http = await stack.enter_async_context(channels.Http.open(connect_timeout_s=2, total_timeout_s=2))
        opened = await stack.enter_async_context(
            app.open_platform(
                settings,
                clock=clock,
                http=http,
                answers=api.JsonAnswers,
                role=API_ROLE,
                limit_s=60,  # however busy the machine is
            )
        )
        console = await stack.enter_async_context(Database.open(database_url, size=16))
        platform = replace(opened, approval_handlers=dict(opened.approval_handlers))  # tests add theirs
        async with console.transaction() as tx:
            account_ids = {
                channel: await channels.accounts.ensure_account(
                    tx,
                    platform.vault,
                    account_id=platform.ids.new(),
                    channel=channel,
                    name="sandbox",
                    sandbox=True,
                    credentials=credentials,
                    now=clock.now(),
                )
                for channel, credentials in sorted(sandbox_accounts(folder, sandbox_url).items())
            }
        await platform.accounts.refresh()  # the platform may have read them before they were there
        web_app = web.build(settings, opened=platform)
        config = web.server_options(settings, web_app)
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        )
        try:
            yield PlatformApi(url, sandbox_url, platform, admin, console, clock, keys, web_app, account_ids, session)
        finally:
            server.should_exit = True
            await serving
