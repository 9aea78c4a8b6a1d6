"""Merchants and their keys: shown once, kept as a hash, revoked everywhere within five seconds."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

import pytest

from hutong.clock import ManualClock
from hutong.db import Database, Tx
from hutong.errors import InvalidParameter, NotFound, Unauthorized
from hutong.ids import Ids
from hutong.merchants import (
    ApiKey,
    Directory,
    Merchant,
    NewMerchant,
    Scope,
    create_api_key,
    create_merchant,
    find_merchants,
    revoke_api_key,
)


class Stopwatch:
    """Seconds that pass on demand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def registered(database: Database, ids: Ids, clock: ManualClock) -> tuple[Merchant, ApiKey]:
    async with database.transaction() as tx:
        new = NewMerchant(ids.new(), "Example Store 杂货", 6_000, ("https://shop.example",))
        merchant = await create_merchant(tx, new, now=clock.now())
        key = await create_api_key(
            tx, merchant.merchant_id, key_id=ids.new(), random=secrets.token_urlsafe(32), now=clock.now()
        )
    return merchant, key


async def test_a_key_names_its_merchant(
    database: Database, registered: tuple[Merchant, ApiKey], clock: ManualClock
) -> None:
    merchant, key = registered
    assert await Directory(database).authenticate(key.secret, Scope.PAYMENTS_READ, now=clock.now()) == merchant
    assert await Directory(database).merchant(merchant.merchant_id) == merchant


async def test_of_a_key_only_the_hash_is_kept(database: Database, registered: tuple[Merchant, ApiKey]) -> None:
    _, key = registered
    async with database.transaction() as tx:
        row = await tx.fetchrow("SELECT * FROM merchants.api_key WHERE id = $1", key.key_id)
    assert row["hash"] == hashlib.sha256(key.secret.encode()).digest()
    held = " ".join(str(value) for value in row.values())
    assert key.secret not in held
    assert key.secret.rpartition("_")[2] not in held


async def test_wrong_and_revoked_keys_get_the_very_same_answer(
    database: Database, registered: tuple[Merchant, ApiKey], ids: Ids, clock: ManualClock
) -> None:
    merchant, key = registered
    async with database.transaction() as tx:
        revoked = await create_api_key(tx, merchant.merchant_id, key_id=ids.new(), random="r" * 43, now=clock.now())
        await revoke_api_key(tx, revoked.key_id, now=clock.now())
    refusals = set()
    wrong = [revoked.secret, key.secret[:-1], key.secret + "x", "", "sk_", "x" * 10_000, "\xff", "\u4e2d"]
    for secret in wrong:
        with pytest.raises(Unauthorized) as refused:
            await Directory(database).authenticate(secret, Scope.PAYMENTS_READ, now=clock.now())
        refusals.add((refused.value.code, refused.value.detail, refused.value.param))
    assert refusals == {("unauthorized", "the API key is not valid", "Authorization")}


async def test_a_revoked_key_stops_working_everywhere_within_five_seconds(
    database: Database, registered: tuple[Merchant, ApiKey], clock: ManualClock
) -> None:
    merchant, key = registered
    stopwatch = Stopwatch()
    elsewhere = Directory(database, monotonic=stopwatch)
    assert await elsewhere.authenticate(key.secret, Scope.PAYMENTS_READ, now=clock.now()) == merchant
    async with database.transaction() as tx:
        await revoke_api_key(tx, key.key_id, now=clock.now())
    stopwatch.seconds += 4.9
    assert (
        await elsewhere.authenticate(key.secret, Scope.PAYMENTS_READ, now=clock.now()) == merchant
    )  # answered from memory, without the database
    stopwatch.seconds += 0.1
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await elsewhere.authenticate(key.secret, Scope.PAYMENTS_READ, now=clock.now())


async def test_one_key_revoked_leaves_the_others(
    database: Database, registered: tuple[Merchant, ApiKey], ids: Ids, clock: ManualClock
) -> None:
    merchant, key = registered
    async with database.transaction() as tx:
        second = await create_api_key(tx, merchant.merchant_id, key_id=ids.new(), random="s" * 43, now=clock.now())
        await revoke_api_key(tx, key.key_id, now=clock.now())
    assert await Directory(database).authenticate(second.secret, Scope.PAYMENTS_READ, now=clock.now()) == merchant


async def test_revoking_again_keeps_the_first_time(
    tx: Tx, registered: tuple[Merchant, ApiKey], clock: ManualClock
) -> None:
    from datetime import timedelta

    first = clock.now()
    await revoke_api_key(tx, registered[1].key_id, now=first)
    await revoke_api_key(tx, registered[1].key_id, now=clock.advance(timedelta(days=1)))
    revoked_at = "SELECT revoked_at FROM merchants.api_key WHERE id = $1"
    assert await tx.fetchval(revoked_at, registered[1].key_id) == first


async def test_what_does_not_exist_is_not_found(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    with pytest.raises(NotFound):
        await revoke_api_key(tx, ids.new(), now=clock.now())
    with pytest.raises(NotFound):
        await create_api_key(tx, ids.new(), key_id=ids.new(), random="x" * 43, now=clock.now())
    assert await find_merchants(tx, [ids.new()]) == {}


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\nb", "a\x00b", "\ud800", "a\u202eb"])
async def test_a_name_that_cannot_be_shown_is_refused(tx: Tx, ids: Ids, clock: ManualClock, name: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await create_merchant(tx, NewMerchant(ids.new(), name), now=clock.now())
    assert refused.value.param == "name"


@pytest.mark.parametrize("fee_ppm", [-1, 200_001])
async def test_a_fee_out_of_range_is_refused(tx: Tx, ids: Ids, clock: ManualClock, fee_ppm: int) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await create_merchant(tx, NewMerchant(ids.new(), "x", fee_ppm), now=clock.now())
    assert refused.value.param == "fee_ppm"


ORIGINS = [
    "", "shop.example", "https://", "https://shop.example/", "https://shop.example/x", "ftp://shop.example",
    "javascript://shop.example", "https://a@shop.example", "https://[", "https://shop.example:99999",
    "https://shop.example?x", "https://shop.example#x", "https://sh\u00f6p.example", "https://shop.example:0",
]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
async def test_what_is_no_origin_is_refused(tx: Tx, ids: Ids, clock: ManualClock, origin: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await create_merchant(tx, NewMerchant(ids.new(), "x", 0, (origin,)), now=clock.now())
    assert refused.value.param == "return_origins"


async def test_a_merchant_keeps_its_payments_validity_and_less_than_a_minute_is_refused(
    tx: Tx, ids: Ids, clock: ManualClock
) -> None:
    new = NewMerchant(ids.new(), "x", payment_validity=timedelta(minutes=1))
    made = await create_merchant(tx, new, now=clock.now())
    assert (await find_merchants(tx, [new.merchant_id]))[new.merchant_id] == made
    assert made.payment_validity == timedelta(minutes=1)
    with pytest.raises(InvalidParameter) as refused:
        short = NewMerchant(ids.new(), "x", payment_validity=timedelta(seconds=59))
        await create_merchant(tx, short, now=clock.now())
    assert refused.value.param == "payment_validity"
