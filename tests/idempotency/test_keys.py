"""One key, one effect, one answer."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from uuid import uuid4

import pytest

from hutong import idempotency
from hutong.clock import ManualClock
from hutong.db import Database, Tx
from hutong.idempotency import Claim, Claimed, InFlight, KeyReused, StoredAnswer

ANSWER = StoredAnswer(201, b'{"id":"pay_1"}')


def wish(key: str = "k", body: bytes = b"body", owner: object = None) -> Claim:
    return Claim(owner or OWNER, key, hashlib.sha256(body).digest())  # type: ignore[arg-type]


OWNER = uuid4()


async def test_the_second_claim_is_in_flight_until_the_first_is_answered(tx: Tx, clock: ManualClock) -> None:
    now = clock.now()
    assert await idempotency.claim(tx, [wish()], now=now) == [Claimed()]
    assert await idempotency.claim(tx, [wish()], now=now) == [InFlight()]
    assert await idempotency.find(tx, wish(), now=now) == InFlight()
    await idempotency.store(tx, [(wish(), ANSWER)])
    assert await idempotency.claim(tx, [wish()], now=now) == [ANSWER]
    assert await idempotency.find(tx, wish(), now=now) == ANSWER


async def test_another_body_is_refused_before_and_after_the_answer(tx: Tx, clock: ManualClock) -> None:
    await idempotency.claim(tx, [wish()], now=clock.now())
    other = wish(body=b"other")
    assert await idempotency.claim(tx, [other], now=clock.now()) == [KeyReused()]
    await idempotency.store(tx, [(wish(), ANSWER)])
    assert await idempotency.claim(tx, [other], now=clock.now()) == [KeyReused()]
    assert await idempotency.find(tx, other, now=clock.now()) == KeyReused()
    # A claim left behind is not taken over by another request either.
    await idempotency.claim(tx, [wish("left")], now=clock.now())
    later = clock.advance(idempotency.LEASE * 2)
    assert await idempotency.claim(tx, [wish("left", b"other")], now=later) == [KeyReused()]


async def test_another_owners_same_key_is_another_key(tx: Tx, clock: ManualClock) -> None:
    await idempotency.claim(tx, [wish()], now=clock.now())
    await idempotency.store(tx, [(wish(), ANSWER)])
    assert await idempotency.claim(tx, [wish(owner=uuid4(), body=b"other")], now=clock.now()) == [Claimed()]


async def test_a_claim_whose_process_died_is_taken_over_after_the_lease_and_not_before(
    tx: Tx, clock: ManualClock
) -> None:
    await idempotency.claim(tx, [wish()], now=clock.now())
    assert await idempotency.claim(tx, [wish()], now=clock.advance(idempotency.LEASE)) == [InFlight()]
    later = clock.advance(timedelta(milliseconds=1))
    assert await idempotency.find(tx, wish(), now=later) is None
    assert await idempotency.claim(tx, [wish()], now=later) == [Claimed()]
    assert await idempotency.claim(tx, [wish()], now=later) == [InFlight()]


async def test_an_answer_once_given_is_never_replaced(tx: Tx, clock: ManualClock) -> None:
    await idempotency.claim(tx, [wish()], now=clock.now())
    assert await idempotency.store(tx, [(wish(), ANSWER)]) == [ANSWER]
    await idempotency.claim(tx, [wish("new")], now=clock.now())
    other = StoredAnswer(200, b"other")
    assert await idempotency.store(tx, [(wish(), other), (wish("new"), other)]) == [ANSWER, other]
    assert await idempotency.claim(tx, [wish()], now=clock.advance(timedelta(days=6))) == [ANSWER]


async def test_a_key_is_free_again_after_its_time(tx: Tx, clock: ManualClock) -> None:
    await idempotency.claim(tx, [wish()], now=clock.now())
    await idempotency.store(tx, [(wish(), ANSWER)])
    later = clock.advance(idempotency.KEPT_FOR + timedelta(seconds=1))
    assert await idempotency.find(tx, wish(), now=later) is None
    assert await idempotency.claim(tx, [wish(body=b"other")], now=later) == [Claimed()]


async def test_forgetting_takes_old_keys_only_and_a_few_at_a_time(tx: Tx, clock: ManualClock) -> None:
    await idempotency.claim(tx, [wish(f"old-{n}") for n in range(5)], now=clock.now())
    later = clock.advance(idempotency.KEPT_FOR + timedelta(seconds=1))
    await idempotency.claim(tx, [wish("new")], now=later)
    assert await idempotency.forget(tx, now=later, limit=3) == 3
    assert await idempotency.forget(tx, now=later, limit=3) == 2
    assert await idempotency.forget(tx, now=later, limit=3) == 0
    assert await idempotency.claim(tx, [wish("new")], now=later) == [InFlight()]


async def test_a_list_is_answered_in_order(tx: Tx, clock: ManualClock) -> None:
    await idempotency.claim(tx, [wish("answered"), wish("running")], now=clock.now())
    await idempotency.store(tx, [(wish("answered"), ANSWER)])
    wishes = [wish("b"), wish("answered"), wish("a"), wish("b"), wish("running"), wish("a", b"other"), wish("c")]
    assert await idempotency.claim(tx, wishes, now=clock.now()) == [
        Claimed(), ANSWER, Claimed(), InFlight(), InFlight(), KeyReused(), Claimed(),
    ]  # fmt: skip
    assert await idempotency.claim(tx, [], now=clock.now()) == []


async def test_many_at_once_claim_each_key_once(database: Database, clock: ManualClock) -> None:
    owner = uuid4()
    keys = [f"key-{n % 10}" for n in range(60)]

    async def one(number: int) -> list:
        wanted = [wish(key, owner=owner) for key in (keys[number], keys[-number], keys[number // 2])]
        return await database.run(lambda tx: idempotency.claim(tx, wanted, now=clock.now()))

    outcomes = [outcome for many in await asyncio.gather(*(one(n) for n in range(60))) for outcome in many]
    assert outcomes.count(Claimed()) == 10
    assert set(outcomes) == {Claimed(), InFlight()}


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_out_of_bounds_is_refused_by_the_database(tx: Tx, clock: ManualClock, key: str) -> None:
    import asyncpg

    with pytest.raises(asyncpg.CheckViolationError):
        await idempotency.claim(tx, [wish(key)], now=clock.now())
