"""Two accounts of one channel are active at once, each with its own keys; either changes its keys without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from hutong.channels import Accounts, Channel, ChannelState, Http, NotificationRefused
from hutong.channels.accounts import create_account
from hutong.channels.accounts import replace_credentials as replace_all
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox import accounts as sandbox_accounts
from hutong.vault import Vault
from support.channel_rigs import NAMES, Bench, Rig, make_rig

VAULT = Vault([b"k" * 32])
CHANNELS = [name for name in NAMES if "-" not in name]
Notice = tuple[dict[str, str], bytes]


@dataclass
class Shop:
    """What one account points at: a channel with keys of its own."""

    rig: Rig
    credentials: dict[str, object]

    async def paid(self, channel: Channel, receiver: Any, now: datetime) -> tuple[str, Notice]:
        """Our number of an order that was placed and paid, and what the channel tells of it."""
        request = self.rig.request(now, notify_url=receiver.url)
        assert (await channel.pay(request, now=now)).state is ChannelState.PENDING
        if self.rig.control.channel == "alipay":
            await self.rig.control.post("scan", order_no=request.attempt_no)
        await self.rig.pay(request)
        async with asyncio.timeout(10):
            while True:  # what was told before may be told again in between
                notice = await receiver.taken.get()
                if reads(channel, notice, now) == request.attempt_no:
                    return request.attempt_no, notice


@pytest.fixture(params=CHANNELS)
async def shops(
    request: pytest.FixtureRequest, sandbox_folder: Path, other_folder: Path, http: Http
) -> AsyncIterator[tuple[Shop, Shop]]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        made = []
        for folder, other in ((sandbox_folder, other_folder), (other_folder, sandbox_folder)):
            url = await stack.enter_async_context(serve(SandboxSettings(folder, speed=1000)))
            rig = make_rig(request.param, Bench(url, folder, other, http, session))
            made.append(Shop(rig, sandbox_accounts(folder, url)[request.param]))
        yield made[0], made[1]


def reads(channel: Channel, notice: Notice, now: datetime) -> str | None:
    """The number that a notice tells; None if it is refused."""
    try:
        return channel.parse_notification(*notice, now=now).number
    except NotificationRefused:
        return None


async def test_each_account_believes_its_own_channel_alone_and_changes_its_keys_while_running(
    shops: tuple[Shop, Shop], receiver: Any, database: Database, http: Http, clock: ManualClock, ids: Ids, now
) -> None:
    first, second = shops
    first_id, second_id = ids.new(), ids.new()
    async with database.transaction() as tx:
        for account_id, shop in ((first_id, first), (second_id, second)):
            await create_account(
                tx,
                VAULT,
                account_id=account_id,
                channel=shop.rig.control.channel,
                name=f"account {account_id}",
                sandbox=True,
                credentials=shop.credentials,
                now=clock.now(),
            )
    accounts = Accounts(database, VAULT, http, clock)
    assert {first_id, second_id} <= {offer.account_id for offer in await accounts.offers()}

    async def results(account_id: UUID, shop: Shop) -> tuple[str, Notice]:
        return await shop.paid(await accounts.get(account_id), receiver, now)

    first_no, first_notice = await results(first_id, first)
    second_no, second_notice = await results(second_id, second)
    assert reads(await accounts.get(first_id), first_notice, now) == first_no
    assert reads(await accounts.get(second_id), second_notice, now) == second_no
    assert reads(await accounts.get(first_id), second_notice, now) is None
    assert reads(await accounts.get(second_id), first_notice, now) is None

    async with database.transaction() as tx:
        await replace_all(tx, VAULT, account_id=first_id, credentials=second.credentials, now=clock.now())
    clock.advance(timedelta(seconds=5))
    assert reads(await accounts.get(first_id), second_notice, now) == second_no
    assert reads(await accounts.get(first_id), first_notice, now) is None
    changed_no, changed_notice = await results(first_id, second)
    assert reads(await accounts.get(second_id), changed_notice, now) == changed_no
