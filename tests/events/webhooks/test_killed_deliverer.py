"""Deliverers that are killed at random moments under load: every event arrives, an object's events in order."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from aiohttp import web

from hutong.events.webhooks.worker import LEASE
from support.fixtures.webhooks import Receiver, World, until

OBJECTS, EVENTS, KILLS = 20, 6, 40


async def test_killed_at_random_moments_it_loses_and_reorders_nothing(
    world: World, receiver: Receiver, rng: random.Random
) -> None:
    await world.endpoint()
    objects = [uuid4() for _ in range(OBJECTS)]
    taken: dict[str, list[int]] = defaultdict(list)

    async def answer(request: web.Request) -> web.Response:
        event = receiver.bodies()[-1]
        await asyncio.sleep(rng.uniform(0, 0.003))
        if rng.random() < 0.1:
            return web.Response(status=503)
        taken[event["data"]["about"]].append(event["object_seq"])
        await asyncio.sleep(rng.uniform(0, 0.003))
        return web.Response()

    receiver.answers["/hook"] = answer
    recorded = 0
    for _ in range(KILLS):
        if recorded < EVENTS:
            await world.record(*(world.event(one, about=str(one)) for one in objects))
            recorded += 1
        workers = [asyncio.create_task(world.deliverer().run()) for _ in range(2)]
        await asyncio.sleep(rng.uniform(0, 0.08))
        for worker in workers:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
        world.clock.advance(LEASE + timedelta(hours=1))
    assert any(len(numbers) > len(set(numbers)) for numbers in taken.values()), "no kill fell between send and mark"
    last = world.deliverer()
    task = asyncio.create_task(last.run())
    await until(
        lambda: all(len(set(numbers)) == EVENTS for numbers in taken.values()) and len(taken) == OBJECTS,
        meanwhile=lambda: world.clock.advance(timedelta(seconds=5)),
    )
    last.stop()
    await task
    for numbers in taken.values():
        assert list(dict.fromkeys(numbers)) == list(range(1, EVENTS + 1))
        assert all(later >= before for before, later in itertools.pairwise(numbers))
