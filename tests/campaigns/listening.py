"""A consumer of the events of an installation, and what must be true of the streams that it read."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from campaigns.installation import SOURCE, Installation
from campaigns.judge import Findings
from hutong import db
from hutong.consumer import Message, Policy, rabbit
from hutong.consumer import install as install_consumer
from hutong.events import DIGEST
from support import create_database
from support.drilled_installation import Listener
from support.storm_merchant import View


class Audience:
    """A consumer on the broker, directly, with a database of its own.

    Attributes:
        handled: How often each event was handled.
        order: The numbers of each object's events in the order in which they were handled.
    """

    def __init__(self) -> None:
        self.handled: Counter[str] = Counter()
        self.order: dict[str, list[int]] = defaultdict(list)
        self._listener: Listener

    @asynccontextmanager
    async def listening(self, installation: Installation) -> AsyncIterator[None]:
        """Listen for the length of a block."""
        assert installation.rabbitmq is not None
        url = await asyncio.to_thread(create_database, await installation.database_url())
        async with db.Database.open(url, size=2, role=None) as database:
            await database.run(install_consumer)
            self._listener = Listener("audience", self._handle, database, policy=Policy())
            self._listener.arrived = []
            running = asyncio.create_task(
                rabbit(self._listener, installation.rabbitmq.url, queue=f"{SOURCE}.audience", source=SOURCE)
            )
            try:
                yield
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def _handle(self, _tx: db.Tx, message: Message) -> None:
        self.handled[message.event_id] += 1
        self.order[message.object_id].append(message.object_seq)

    async def check(self, view: View, findings: Findings, *, within_s: float = 300.0) -> None:
        """Wait until everything that webhooks have told was published too; then compare (I7)."""
        began = asyncio.get_running_loop().time()
        while missing := view.taken.keys() - self.handled.keys():
            if asyncio.get_running_loop().time() > began + within_s:
                findings.wrong("I7 what was committed is published", f"{len(missing)} events, such as {min(missing)}")
                break
            await asyncio.sleep(0.2)
        findings.kept["seconds until the broker had everything"] = round(asyncio.get_running_loop().time() - began)
        findings.kept["events handled"] = len(self.handled)
        for name, times in self.handled.items():
            if times > 1:
                findings.wrong("I7 an event is handled once", name)
        self._check_streams(findings)

    def _check_streams(self, findings: Findings) -> None:
        numbers, events = defaultdict(set), defaultdict(set)
        for message in self._listener.arrived:
            if message["type"] == DIGEST:
                continue
            numbers[message["stream"]].add(message["no"])
            events[message["stream"], message["no"]].add(message["id"])
        for stream, found in numbers.items():
            if found != set(range(1, len(found) + 1)):
                findings.wrong("I7 a stream has no gap", stream)
        for place, names in events.items():
            if len(names) > 1:
                findings.wrong("I7 a number of a stream is one event", place)
        for name, handled in self.order.items():
            if handled != list(range(1, len(handled) + 1)):
                findings.wrong("I7 the events of an object are handled in order", (name, handled))
