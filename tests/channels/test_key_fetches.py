"""Keys that a channel changes to are fetched within a minute, however many forged ones are named, and shared."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import Accounts, Channel, NotificationRefused
from hutong.channels.accounts import create_account, set_enabled
from hutong.channels.key_fetches import KeyFetches
from hutong.clock import ManualClock
from hutong.db import API_ROLE, WORKER_ROLE, Database
from hutong.ids import Ids
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from hutong.vault import Vault
from support.fakes.wechat_messages import ATTEMPT_NO, envelope, sign, transaction

START = datetime(2026, 1, 1, tzinfo=UTC)
VAULT = Vault([b"k" * 32])


class List:
    """A channel's list of keys, and the times at which it was fetched."""

    def __init__(self) -> None:
        self.now, self.fetched, self.answers = START, list[float](), True
        self.listed, self.held = {"old"}, {"old"}
        self.fetches = KeyFetches(lambda key, _: key in self.held)

    async def fetch(self) -> bool:
        self.fetched.append((self.now - START).total_seconds())
        if self.answers:
            self.held |= self.listed
        return self.answers

    async def name(self, key: str, second: float) -> bool:
        """Take a message that names a key."""
        self.now = START + timedelta(seconds=second)
        return await self.fetches.obtain(key, self.fetch, now=self.now)


async def test_a_failed_fetch_is_repeated_after_seconds_and_then_each_minute() -> None:
    keys = List()
    keys.answers = False
    for second in range(300):
        assert not await keys.name("new", second)
    assert keys.fetched == [0, 2, 6, 14, 30, 62, 122, 182, 242]
    keys.answers = True
    keys.listed.add("new")
    assert await keys.name("new", 302)
    assert len(keys.fetched) == 10


async def test_an_absent_key_is_asked_for_once_a_minute_and_another_one_after_seconds() -> None:
    keys = List()
    for second in range(120):
        await keys.name("absent", second)
    assert keys.fetched == [0, 60]
    keys = List()
    assert not await keys.name("absent", 0)
    keys.listed.add("new")
    assert [await keys.name("new", second) for second in range(1, 6)] == [False] * 4 + [True]


async def test_a_key_that_is_held_is_never_fetched() -> None:
    keys = List()
    assert all([await keys.name("old", second) for second in range(100)])
    assert keys.fetched == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), appears=st.integers(0, 100), away=st.integers(0, 60))
def test_under_a_flood_of_forged_keys_fetches_are_few_and_a_new_key_comes_within_a_minute(
    seed: int, appears: int, away: int
) -> None:
    keys, rng = List(), random.Random(seed)

    async def second_of_flood(second: int) -> bool:
        keys.answers = not appears <= second < appears + away
        if second == appears:
            keys.listed.add("new")
        for _ in range(3):
            await keys.name(f"forged {rng.randrange(1_000)}", second)
        return second >= appears and await keys.name("new", second)

    async def flood() -> int:
        return next(iter([second for second in range(appears + away + 70) if await second_of_flood(second)]))

    assert asyncio.run(flood()) - (appears + away) <= 60
    for begin in keys.fetched:
        assert sum(begin <= other < begin + 60 for other in keys.fetched) <= 13


async def test_messages_at_once_cause_one_fetch_and_notifications_do_not_wait_for_it() -> None:
    keys, gate = List(), asyncio.Event()
    keys.listed.add("new")

    async def slow() -> bool:
        await gate.wait()
        return await keys.fetch()

    patient = [asyncio.create_task(keys.fetches.obtain("new", slow, now=START)) for _ in range(5)]
    await asyncio.sleep(0)
    assert not await keys.fetches.obtain("forged", slow, now=START, patient=False)
    gate.set()
    assert await asyncio.gather(*patient) == [True] * 5
    assert len(keys.fetched) == 1


# WeChat Pay: its list, notifications, and the processes of one installation.


@pytest.fixture
async def own_url(sandbox_folder: Any) -> AsyncIterator[str]:
    """The address of a WeChat Pay whose faults are this test's own."""
    async with serve(SandboxSettings(sandbox_folder)) as url:
        yield url


async def cut_off(url: str) -> None:
    """Let WeChat Pay list its certificates to nobody any more."""
    async with aiohttp.ClientSession() as session:
        faults = {"interface": "certificates", "kind": "dropped", "times": 1_000}
        async with session.post(f"{url}/control/wechat/next", json=faults) as answer:
            answer.raise_for_status()


def notice(keys: WeChatSandboxKeys, now: datetime) -> tuple[dict[str, str], bytes]:
    """A notification signed with the certificate that comes next."""
    body = envelope(keys, transaction())
    return sign(keys.platform_next.key, keys.platform_next.serial, body, now=now), body


async def account(
    database: Database, ids: Ids, clock: ManualClock, keys: WeChatSandboxKeys, url: str
) -> tuple[UUID, dict[str, object]]:
    credentials = keys.credentials(url, public_key_mode=False)
    account_id = ids.new()
    async with database.transaction() as tx:
        await create_account(
            tx, VAULT, account_id=account_id, channel="wechat", name=str(account_id), sandbox=True,
            credentials=credentials, now=clock.now(),
        )  # fmt: skip
    return account_id, credentials


def reads(channel: Channel, message: tuple[dict[str, str], bytes], now: datetime) -> str | None:
    try:
        return channel.parse_notification(*message, now=now).number
    except NotificationRefused:
        return None


async def test_a_key_that_one_process_has_verified_all_know_also_after_a_restart(
    database: Database,
    database_url: str,
    ids: Ids,
    clock: ManualClock,
    keys: WeChatSandboxKeys,
    own_url: str,
    http: Any,
    now: datetime,
) -> None:
    account_id, _ = await account(database, ids, clock, keys, own_url)
    message = notice(keys, now)
    async with Database.open(database_url, size=2, role=API_ROLE) as of_api:
        api, other = (Accounts(of_api, VAULT, http, clock) for _ in range(2))
        first, second = await api.get(account_id), await other.get(account_id)
        assert reads(first, message, now) is None
        assert await first.fetch_named_key(*message, now=now)
        assert reads(first, message, now) == ATTEMPT_NO
        await api.store_keys()
        await cut_off(own_url)
        assert not await second.fetch_named_key(*message, now=now)
        await other.refresh()
        assert reads(second, message, now) == ATTEMPT_NO
    async with Database.open(database_url, size=2, role=WORKER_ROLE) as of_worker:
        restarted = await Accounts(of_worker, VAULT, http, clock).get(account_id)
        assert reads(restarted, message, now) == ATTEMPT_NO


async def test_a_stored_key_that_was_altered_or_is_another_accounts_is_not_believed(
    database: Database,
    ids: Ids,
    clock: ManualClock,
    keys: WeChatSandboxKeys,
    sandbox_url: str,
    http: Any,
    now: datetime,
) -> None:
    first_id, _ = await account(database, ids, clock, keys, sandbox_url)
    other_id, _ = await account(database, ids, clock, keys, sandbox_url)
    message = notice(keys, now)
    accounts = Accounts(database, VAULT, http, clock)
    assert await (await accounts.get(first_id)).fetch_named_key(*message, now=now)
    await accounts.store_keys()
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO channels.adopted_key SELECT $2, key_id, version, pem_sealed, adopted_at "
            "FROM channels.adopted_key WHERE account_id = $1", first_id, other_id,
        )  # fmt: skip
    restarted = Accounts(database, VAULT, http, clock)
    assert reads(await restarted.get(first_id), message, now) == ATTEMPT_NO
    assert reads(await restarted.get(other_id), message, now) is None, "sealed for another account"
    async with database.transaction() as tx:
        await set_enabled(tx, account_id=first_id, enabled=True, now=clock.now())  # a new version of the account
    restarted = Accounts(database, VAULT, http, clock)
    assert reads(await restarted.get(first_id), message, now) is None, "of other credentials, for all we know"
