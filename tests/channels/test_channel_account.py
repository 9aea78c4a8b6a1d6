"""Channel accounts: checked going in, sealed at rest, rotated without a restart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from hutong.channels import Accounts
from hutong.channels.accounts import create_account, find_account, replace_credentials, set_enabled
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import ConfigurationError, Conflict, CredentialsUnreadable, InvalidParameter, NotFound
from hutong.ids import Ids
from hutong.vault import Vault

VAULT = Vault([b"k" * 32])


@pytest.fixture
def credentials(keys) -> dict[str, Any]:
    return keys.credentials("http://127.0.0.1:1")


@pytest.fixture
def accounts(database: Database, http, clock: ManualClock) -> Accounts:
    return Accounts(database, VAULT, http, clock)


async def make(tx, ids: Ids, clock: ManualClock, credentials, **changed: Any):
    account_id = ids.new()
    fields: dict[str, Any] = {
        "account_id": account_id,
        "channel": "wechat",
        "name": f"account {account_id}",
        "sandbox": True,
        "credentials": credentials,
        "now": clock.now(),
    } | changed
    await create_account(tx, VAULT, **fields)
    return account_id


async def test_an_account_is_ready_to_call_once_made(database, accounts, ids, clock, credentials) -> None:
    async with database.transaction() as tx:
        account_id = await make(tx, ids, clock, credentials)
    channel = await accounts.get(account_id)
    assert channel.capabilities.channel == "wechat"
    assert account_id in [offer.account_id for offer in await accounts.offers()]
    assert await accounts.get(account_id) is channel


async def test_new_credentials_are_used_within_five_seconds(database, accounts, ids, clock, credentials) -> None:
    async with database.transaction() as tx:
        account_id = await make(tx, ids, clock, credentials)
    before = await accounts.get(account_id)
    async with database.transaction() as tx:
        changed = credentials | {"appid": "wxother"}
        assert await replace_credentials(tx, VAULT, account_id=account_id, credentials=changed, now=clock.now()) == 2
    clock.advance(timedelta(seconds=4.9))
    assert await accounts.get(account_id) is before
    clock.advance(timedelta(seconds=0.1))
    assert await accounts.get(account_id) is not before


async def test_an_account_made_later_is_found_without_waiting(database, accounts, ids, clock, credentials) -> None:
    await accounts.refresh()
    clock.advance(timedelta(seconds=1))
    async with database.transaction() as tx:
        account_id = await make(tx, ids, clock, credentials)
    assert await accounts.get(account_id)


async def test_an_account_that_is_off_is_not_offered_but_still_called(
    database, accounts, ids, clock, credentials
) -> None:
    async with database.transaction() as tx:
        account_id = await make(tx, ids, clock, credentials)
        await set_enabled(tx, account_id=account_id, enabled=False, now=clock.now())
    assert account_id not in [offer.account_id for offer in await accounts.offers()]
    assert await accounts.get(account_id)


async def test_one_account_that_cannot_be_opened_leaves_the_others(database, http, ids, clock, credentials) -> None:
    async with database.transaction() as tx:
        good = await make(tx, ids, clock, credentials)
        bad = await make(tx, ids, clock, credentials)
        other = Vault([b"o" * 32])
        await replace_credentials(tx, other, account_id=bad, credentials=credentials, now=clock.now())
    accounts = Accounts(database, VAULT, http, clock)
    assert await accounts.get(good)
    with pytest.raises(CredentialsUnreadable):
        await accounts.get(bad)
    assert bad not in [offer.account_id for offer in await accounts.offers()]


async def test_a_name_is_taken_once_in_a_channel(tx, ids, clock, credentials) -> None:
    account_id = await make(tx, ids, clock, credentials, name="shop")
    assert await find_account(tx, channel="wechat", name="shop") == account_id
    assert await find_account(tx, channel="wechat", name="other") is None
    with pytest.raises(Conflict):
        await make(tx, ids, clock, credentials, name="shop")


async def test_an_absent_account_is_not_found(tx, accounts, ids, clock, credentials) -> None:
    with pytest.raises(NotFound):
        await accounts.get(ids.new())
    with pytest.raises(NotFound):
        await replace_credentials(tx, VAULT, account_id=ids.new(), credentials=credentials, now=clock.now())
    with pytest.raises(NotFound):
        await set_enabled(tx, account_id=ids.new(), enabled=True, now=clock.now())


async def test_a_channel_without_an_adapter_is_refused(tx, ids, clock, credentials) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await make(tx, ids, clock, credentials, channel="abacus")
    assert caught.value.param == "channel"


async def test_credentials_are_sealed_at_rest_for_their_row(tx, ids, clock, credentials) -> None:
    account_id = await make(tx, ids, clock, credentials)
    sealed = await tx.fetchval("SELECT credentials_sealed FROM channels.account WHERE id = $1", account_id)
    assert credentials["api_v3_key"].encode() not in sealed
    with pytest.raises(ConfigurationError):
        VAULT.open(sealed, context="channel_account:acc_other")


@pytest.mark.parametrize(
    "forbidden",
    [
        "DELETE FROM channels.account",
        "UPDATE channels.account SET channel = 'other'",
        "UPDATE channels.account SET created_at = updated_at",
        "UPDATE channels.account SET sandbox = FALSE",
    ],
)
async def test_the_application_may_not_rewrite_an_account(tx, forbidden: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tx.execute(forbidden)


async def test_each_account_calls_through_connections_of_its_own(database, http, ids, clock, credentials) -> None:
    async with database.transaction() as tx:
        first, second = [await make(tx, ids, clock, credentials) for _ in range(2)]
    accounts = Accounts(database, VAULT, http, clock)
    channels = [await accounts.get(account_id) for account_id in (first, second)]
    assert [channel._client._http for channel in channels] == [http.for_account(first), http.for_account(second)]
    assert http.for_account(first) is not http.for_account(second)


async def test_accounts_are_reloaded_though_the_clock_was_ahead(database, accounts, ids, clock, credentials) -> None:
    async with database.transaction() as tx:
        account_id = await make(tx, ids, clock, credentials)
    clock.advance(timedelta(minutes=10))
    before = await accounts.get(account_id)
    clock.advance(-timedelta(minutes=10))
    async with database.transaction() as tx:
        changed = credentials | {"appid": "wxother"}
        await replace_credentials(tx, VAULT, account_id=account_id, credentials=changed, now=clock.now())
    assert await accounts.get(account_id) is not before
