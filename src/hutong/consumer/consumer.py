"""One consumer: takes messages in, handles them, asks for what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

import asyncpg

from hutong import db, telemetry
from hutong.clock import Clock, SystemClock
from hutong.consumer.handling import Handler, Handling
from hutong.consumer.intake import receive
from hutong.consumer.message import read
from hutong.consumer.model import Digest, Message, Policy, Reject, Source, Taken
from hutong.consumer.parking import tidy
from hutong.consumer.repair import due_digests, due_gaps, give_up
from hutong.errors import HutongError

_log = telemetry.get_logger(__name__)


class Consumer:
    """Handles each event of its streams once, an object's events in order, and notices what is missing.

    Any number of processes may run the same consumer on one database; two consumers, which have different names, know
    nothing of each other.

    Args:
        name: Stays the same for good: what was handled is known under it.
        handler: Called as `handler(tx, message)`. What it does in `tx` is committed together with the fact that the
            message was handled, or not at all. It must not commit. If it raises, the message is tried again later and
            parked in the end; if it raises `Unavailable`, the message is not to blame and is tried until it works.
        database: The consumer's own, with the tables of `install`.
        topics: Which streams are wanted, by the part of their name between source and zone, such as "payment"; None
            means all. Others may come and are ignored.
        versions: The highest version of each type that the handler understands, 1 where a type is not named.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        database: db.Database,
        *,
        topics: Collection[str] | None = None,
        versions: Mapping[str, int] | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.topics = None if topics is None else frozenset(topics)
        self._database = database
        self._policy = policy or Policy()
        self._clock = clock or SystemClock()
        self._handling = Handling(
            name, handler, database, versions=versions or {}, policy=self._policy, clock=self._clock
        )

    async def take(self, messages: Sequence[bytes]) -> Taken:
        """Take a batch in and handle what can be handled. When this returns, the broker may forget the messages.

        Errors:
            Unavailable, OutcomeUnknown: the database is gone; giving the same messages again is safe.
        """
        taken = await self.receive(messages)
        await self._handling.drain()
        return taken

    async def receive(self, messages: Sequence[bytes]) -> Taken:
        """Write a batch into the inbox without handling it. Errors as `take`."""
        arrived = [one for one in map(read, messages) if self._wants(one)]
        now = self._clock.now()
        return await self._database.run(lambda tx: receive(tx, self.name, arrived, policy=self._policy, now=now))

    async def handle(self) -> int:
        """Handle all that is ready by now: what waited for a second try, what a person wants tried again.

        Returns:
            How many messages were done. Errors as `take`.
        """
        return await self._handling.drain()

    async def repair(self, source: Source | None) -> int:
        """Ask the source for what is missing or differs and is due.

        Args:
            source: Where to ask; None: a person has to, by what the log says.

        Returns:
            How many requests were sent. What could not be sent is asked for again later.
        """
        now, policy = self._clock.now(), self._policy
        await self._database.run(lambda tx: give_up(tx, self.name, policy=policy, now=now))
        wishes = await self._database.run(lambda tx: due_gaps(tx, self.name, policy=policy, now=now))
        wishes += await self._database.run(lambda tx: due_digests(tx, self.name, policy=policy, now=now))
        if source is None:
            for wish in wishes:
                _log.warning(
                    "stream_needs_resending",
                    consumer=self.name,
                    stream=wish.stream,
                    first=wish.first,
                    last=wish.last,
                )
            return 0
        for wish in wishes:
            await wish.send(source)
        return len(wishes)

    async def tidy(self, *, keep: timedelta) -> int:
        """Delete what was done longer ago than this. A repetition of it is still known as one.

        Returns:
            How many rows were deleted.
        """
        before = self._clock.now() - keep
        return await self._database.run(lambda tx: tidy(tx, self.name, before=before))

    async def attend(
        self, source: Source | None, *, every: timedelta = timedelta(seconds=1), keep: timedelta = timedelta(days=7)
    ) -> None:
        """Do what has to be done beside taking messages, until cancelled: second tries, requests, tidying up."""
        tidied_at = None
        while True:
            try:
                await self.handle()
                await self.repair(source)
                if tidied_at is None or self._clock.now() - tidied_at > timedelta(minutes=10):
                    await self.tidy(keep=keep)
                    tidied_at = self._clock.now()
            except asyncpg.SyntaxOrAccessError:  # no tables, no rights: waiting does not help
                raise
            except (HutongError, asyncpg.PostgresError, OSError) as error:
                _log.warning("consumer_interrupted", consumer=self.name, reason=type(error).__name__)
            await asyncio.sleep(every.total_seconds())

    def _wants(self, one: Message | Digest | Reject) -> bool:
        return isinstance(one, Reject) or self.topics is None or topic_of(one.stream) in self.topics


def topic_of(stream: str) -> str:
    """What stands between a stream's source and its zone."""
    return stream.rpartition(".")[0].partition(".")[2]
