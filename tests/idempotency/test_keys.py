"""One key, one effect, one answer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from hutong.clock import ManualClock
from hutong.db import Database, Tx
from hutong.idempotency import Claim, StoredAnswer
from hutong.idempotency.keys import claim, find, forget, store
from hutong.idempotency.model import KEPT_FOR, LEASE, ClaimOutcome, ClaimResult

ANSWER = StoredAnswer(201, b'{"id":"pay_1"}')
CLAIMED, IN_FLIGHT, KEY_REUSED = (
    ClaimResult(outcome) for outcome in (ClaimOutcome.CLAIMED, ClaimOutcome.IN_FLIGHT, ClaimOutcome.KEY_REUSED)
)
ANSWERED = ClaimResult(ClaimOutcome.ANSWERED, ANSWER)


def request(key: str = "k", body: bytes = b"body", owner: object = None) -> Claim:
    return Claim(owner or OWNER, key, hashlib.sha256(body).digest())  # type: ignore[arg-type]


OWNER = uuid4()


async def test_the_second_claim_is_in_flight_until_the_first_is_answered(tx: Tx, clock: ManualClock) -> None:
    now = clock.now()
    assert await claim(tx, [request()], now=now) == [CLAIMED]
    assert await claim(tx, [request()], now=now) == [IN_FLIGHT]
    assert await find(tx, request(), now=now) == IN_FLIGHT
    await store(tx, [(request(), ANSWER)])
    assert await claim(tx, [request()], now=now) == [ANSWERED]
    assert await find(tx, request(), now=now) == ANSWERED


async def test_another_body_is_refused_before_and_after_the_answer(tx: Tx, clock: ManualClock) -> None:
    await claim(tx, [request()], now=clock.now())
    other = request(body=b"other")
    assert await claim(tx, [other], now=clock.now()) == [KEY_REUSED]
    await store(tx, [(request(), ANSWER)])
    assert await claim(tx, [other], now=clock.now()) == [KEY_REUSED]
    assert await find(tx, other, now=clock.now()) == KEY_REUSED
    # A claim left behind is not taken over by another request either.
    await claim(tx, [request("left")], now=clock.now())
    later = clock.advance(LEASE * 2)
    assert await claim(tx, [request("left", b"other")], now=later) == [KEY_REUSED]


async def test_another_owners_same_key_is_another_key(tx: Tx, clock: ManualClock) -> None:
    await claim(tx, [request()], now=clock.now())
    await store(tx, [(request(), ANSWER)])
    assert await claim(tx, [request(owner=uuid4(), body=b"other")], now=clock.now()) == [CLAIMED]


async def test_a_claim_whose_process_died_is_taken_over_after_the_lease_and_not_before(
    tx: Tx, clock: ManualClock
) -> None:
    await claim(tx, [request()], now=clock.now())
    assert await claim(tx, [request()], now=clock.advance(LEASE)) == [IN_FLIGHT]
    later = clock.advance(timedelta(milliseconds=1))
    assert await find(tx, request(), now=later) == CLAIMED
    assert await claim(tx, [request()], now=later) == [CLAIMED]
    assert await claim(tx, [request()], now=later) == [IN_FLIGHT]


async def test_the_claim_of_a_connection_that_is_gone_is_taken_over_at_once(
    database_url: str, database: Database, clock: ManualClock
) -> None:
    wanted, now = request(owner=uuid4()), clock.advance(KEPT_FOR * 2)

    async def on(function: Callable[..., Awaitable[Any]], asked: Any = wanted) -> Any:
        argument = [asked] if function is claim else asked
        return await database.run(lambda tx: function(tx, argument, now=now))

    async with Database.open(database_url, size=1) as dying:
        assert await dying.run(lambda tx: claim(tx, [wanted], now=now)) == [CLAIMED]
        assert (await on(claim), await on(find)) == ([IN_FLIGHT], IN_FLIGHT)
    async with asyncio.timeout(120):
        while await on(find) == IN_FLIGHT:  # noqa: ASYNC110 - the server notices the end of a connection by itself
            await asyncio.sleep(0.01)
    other = request(body=b"other", owner=wanted.owner_id)
    assert await on(claim, other) == [KEY_REUSED]
    assert await on(claim) == [CLAIMED]
    assert (await on(claim), await on(find)) == ([IN_FLIGHT], IN_FLIGHT), "it belongs to whoever took it over"


async def test_a_claim_of_a_release_that_noted_no_connection_is_held_for_its_time(tx: Tx, clock: ManualClock) -> None:
    await claim(tx, [request()], now=clock.now())
    await tx.execute("UPDATE idempotency.key SET claimed_through = NULL WHERE owner_id = $1", OWNER)
    assert await find(tx, request(), now=clock.now()) == IN_FLIGHT
    assert await claim(tx, [request()], now=clock.advance(LEASE)) == [IN_FLIGHT]


async def test_an_answer_once_given_is_never_replaced(tx: Tx, clock: ManualClock) -> None:
    await claim(tx, [request()], now=clock.now())
    assert await store(tx, [(request(), ANSWER)]) == [ANSWER]
    await claim(tx, [request("new")], now=clock.now())
    other = StoredAnswer(200, b"other")
    assert await store(tx, [(request(), other), (request("new"), other)]) == [ANSWER, other]
    assert await claim(tx, [request()], now=clock.advance(timedelta(days=6))) == [ANSWERED]


async def test_a_key_is_free_again_after_its_time(tx: Tx, clock: ManualClock) -> None:
    await claim(tx, [request()], now=clock.now())
    await store(tx, [(request(), ANSWER)])
    later = clock.advance(KEPT_FOR + timedelta(seconds=1))
    assert await find(tx, request(), now=later) == CLAIMED
    assert await claim(tx, [request(body=b"other")], now=later) == [CLAIMED]


async def test_forgetting_takes_old_keys_only_and_a_few_at_a_time(tx: Tx, clock: ManualClock) -> None:
    await claim(tx, [request(f"old-{n}") for n in range(5)], now=clock.now())
    later = clock.advance(KEPT_FOR + timedelta(seconds=1))
    await claim(tx, [request("new")], now=later)
    assert await forget(tx, now=later, limit=3) == 3
    assert await forget(tx, now=later, limit=3) == 2
    assert await forget(tx, now=later, limit=3) == 0
    assert await claim(tx, [request("new")], now=later) == [IN_FLIGHT]


async def test_a_list_is_answered_in_order(tx: Tx, clock: ManualClock) -> None:
    await claim(tx, [request("answered"), request("running")], now=clock.now())
    await store(tx, [(request("answered"), ANSWER)])
    requests = [
        request("b"),
        request("answered"),
        request("a"),
        request("b"),
        request("running"),
        request("a", b"other"),
        request("c"),
    ]
    assert await claim(tx, requests, now=clock.now()) == [
        CLAIMED, ANSWERED, CLAIMED, IN_FLIGHT, IN_FLIGHT, KEY_REUSED, CLAIMED,
    ]  # fmt: skip
    assert await claim(tx, [], now=clock.now()) == []


async def test_many_at_once_claim_each_key_once(database: Database, clock: ManualClock) -> None:
    owner = uuid4()
    keys = [f"key-{n % 10}" for n in range(60)]

    async def one(number: int) -> list:
        wanted = [request(key, owner=owner) for key in (keys[number], keys[-number], keys[number // 2])]
        return await database.run(lambda tx: claim(tx, wanted, now=clock.now()))

    outcomes = [outcome for many in await asyncio.gather(*(one(n) for n in range(60))) for outcome in many]
    assert outcomes.count(CLAIMED) == 10
    assert set(outcomes) == {CLAIMED, IN_FLIGHT}


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_out_of_bounds_is_refused_by_the_database(tx: Tx, clock: ManualClock, key: str) -> None:
    import asyncpg

    with pytest.raises(asyncpg.CheckViolationError):
        await claim(tx, [request(key)], now=clock.now())
