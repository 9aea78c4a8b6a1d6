"""The real application on a free port, with its own database and the channel simulator: import the fixtures from here.

from support.running_platform import platform_api  # noqa: F401
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import pytest
import uvicorn
from yarl import URL

from hutong import api, channels, merchants, operators, payments
from hutong.app.approval_handlers import approval_handlers
from hutong.clock import SystemClock, to_ns
from hutong.db import Database, migrate
from hutong.ids import Ids, decode, encode
from hutong.sandbox import SandboxSettings, WeChatSandboxKeys, serve
from hutong.sandbox import accounts as sandbox_accounts
from hutong.vault import Vault
from support import create_database

METHOD = "wechat_native"
_numbers = itertools.count(1)
_RUN = secrets.token_hex(3)


class ShiftedClock:
    """The machine's clock, moved forward when told to."""

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
    """A merchant and a key of its."""

    merchant_id: UUID
    key: str


@dataclass
class PlatformApi:
    """The platform as merchants, channels and tests see it."""

    url: str
    sandbox_url: str
    database: Database
    admin: Database
    lifecycle: payments.Payments
    accounts: channels.Accounts
    vault: Vault
    clock: ShiftedClock
    ids: Ids
    keys: WeChatSandboxKeys
    app: Any
    account_ids: dict[str, UUID]
    session: aiohttp.ClientSession
    approval_handlers: dict[str, operators.ApprovalHandler]
    shops: list[Shop] = field(default_factory=list)

    @property
    def account_id(self) -> UUID:
        """The account at WeChat Pay."""
        return self.account_ids["wechat"]

    async def shop(self, *, fee_ppm: int = 6_000, return_origins: tuple[str, ...] = ("https://shop.example",)) -> Shop:
        """A new merchant with a key."""
        now = self.clock.now()
        async with self.database.transaction() as tx:
            new = merchants.NewMerchant(self.ids.new(), "Example Store", fee_ppm, return_origins)
            await merchants.create_merchant(tx, new, now=now)
            key = await merchants.create_api_key(
                tx, new.merchant_id, key_id=self.ids.new(), random=secrets.token_urlsafe(32), now=now
            )
        return Shop(new.merchant_id, key.secret)

    async def person(self, role: operators.Role) -> tuple[UUID, dict[str, str]]:
        """A new operator, and the header that says who is calling."""
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
        """One request; `path` is sent as it is written."""
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
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read())

    def order(self, **changed: Any) -> dict[str, Any]:
        """A merchant's order that is in order."""
        return {
            "merchant_order_no": f"{_RUN}-{next(_numbers)}",
            "amount_minor": 1999,
            "currency": "CNY",
            "subject": "Example Store, order 123",
        } | changed

    async def create(self, shop: Shop, **changed: Any) -> Any:
        """A payment, placed at the channel."""
        answer = await self.call("POST", "/v1/payments", shop=shop, json=self.order(method=METHOD) | changed)
        assert answer.status == 201, answer.body
        return answer.json

    async def get(self, shop: Shop, payment_id: str) -> Any:
        answer = await self.call("GET", f"/v1/payments/{payment_id}", shop=shop)
        assert answer.status == 200, answer.body
        return answer.json

    async def until(self, shop: Shop, payment_id: str, status: str) -> Any:
        """The payment once it has this status."""
        for _ in range(500):
            if (payment := await self.get(shop, payment_id))["status"] == status:
                return payment
            await asyncio.sleep(0.02)
        raise AssertionError(f"the payment does not become {status}: {payment}")

    async def control(self, path: str, *, channel: str = "wechat", **fields: Any) -> Any:
        """The simulator's control API."""
        async with self.session.post(f"{self.sandbox_url}/control/{channel}/{path}", json=fields) as response:
            return await response.json()

    async def fingerprint(self) -> dict[str, tuple[int, int]]:
        """Every table's number of rows and a hash of them: equal before and after means that nothing was written."""
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
        return found

    async def transfers_of(self, payment_id: str) -> list[Any]:
        """The ledger's transfers of one payment."""
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
    """API, simulator and database of their own for the whole run. No worker: tests call `flow.sweep` themselves."""
    database_url = create_database(server_url)
    await asyncio.to_thread(migrate, database_url)
    clock = ShiftedClock()
    ids = Ids(clock)
    vault = Vault([secrets.token_bytes(32)])
    folder = tmp_path_factory.mktemp("platform-sandbox")
    keys = WeChatSandboxKeys.load(folder / "wechat")
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with contextlib.AsyncExitStack() as stack:
        sandbox_url = await stack.enter_async_context(serve(SandboxSettings(folder, speed=1000, clock=clock)))
        database = await stack.enter_async_context(Database.open(database_url, size=16))
        admin = await stack.enter_async_context(Database.open(database_url, size=2, role=None))
        http = await stack.enter_async_context(channels.Http.open(connect_timeout_s=2, total_timeout_s=2))
        accounts = channels.Accounts(database, vault, http, clock)
        documents = payments.Documents(
            lambda p: f"{url}/pay/{encode('pay', p.payment_id)}?token={p.checkout_token}", accounts.text
        )
        transactions = payments.PaymentTransactions(
            database, documents, clock=clock, ids=ids, answers=api.JsonAnswers(documents)
        )
        lifecycle = payments.Payments(
            database,
            accounts,
            transactions,
            payments.PaymentsConfig(url, sandbox=True),
            clock=clock,
            ids=ids,
            vault=vault,
        )
        stack.push_async_callback(lifecycle.stop)
        async with database.transaction() as tx:
            account_ids = {
                channel: await channels.accounts.ensure_account(
                    tx,
                    vault,
                    account_id=ids.new(),
                    channel=channel,
                    name="sandbox",
                    sandbox=True,
                    credentials=credentials,
                    now=clock.now(),
                )
                for channel, credentials in sorted(sandbox_accounts(folder, sandbox_url).items())
            }
        handlers = dict(approval_handlers(transactions))  # tests add theirs
        services = api.Services(
            records=database,
            avatar_base="https://cdn.example/{merchant_id}/",
            database=database,
            directory=merchants.Directory(database),
            accounts=accounts,
            lifecycle=lifecycle,
            approval_handlers=handlers,
            vault=vault,
            clock=clock,
            ids=ids,
            sandbox=True,
        )

        @contextlib.asynccontextmanager
        async def open_services() -> AsyncIterator[api.Services]:
            yield services

        web = api.create_app(open_services, identifiers=ids)
        config = uvicorn.Config(
            web, http="httptools", access_log=False, log_config=None, ws="none", timeout_keep_alive=300
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        )
        try:
            yield PlatformApi(
                url,
                sandbox_url,
                database,
                admin,
                lifecycle,
                accounts,
                vault,
                clock,
                ids,
                keys,
                web,
                account_ids,
                session,
                handlers,
            )
        finally:
            server.should_exit = True
            await serving
