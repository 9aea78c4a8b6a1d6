"""The consumer: receives messages, handles them, and requests missing ones."""

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
    """Handles each event of its streams once, an object's events in order, and notices missing ones.

    Any number of processes may run the same consumer on one database. Consumers with different names are independent.

    Args:
        name: Must never change: handled messages are recorded under it.
        handler: Called as `handler(tx, message)`. Its changes in `tx` are committed together with the fact that the
            message was handled, or not at all. It must not commit. If it raises, the message is attempted again later
            and parked in the end; if it raises `Unavailable`, the message is not to blame and is attempted until it
            succeeds.
        database: The consumer's own database, with the tables of `install`.
        topics: The streams to handle, by the part of their name between source and zone, such as "payment"; None
            means all. Messages of other streams are ignored.
        versions: The highest version of each type that the handler understands; 1 by default.
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
        """Receive a batch and handle the messages that are ready. Afterwards the broker may forget the batch.

        Errors:
            Unavailable, OutcomeUnknown: the database is unavailable; passing the same messages again is safe.
        """
        taken = await self.receive(messages)
        await self._handling.drain()
        return taken

    async def receive(self, messages: Sequence[bytes]) -> Taken:
        """Write a batch into the inbox without handling it. Errors as for `take`."""
        contents = [content for content in map(read, messages) if self._is_subscribed(content)]
        now = self._clock.now()
        return await self._database.run(lambda tx: receive(tx, self.name, contents, policy=self._policy, now=now))

    async def handle(self) -> int:
        """Handle all messages that are ready by now, further attempts and retries of parked messages included.

        Returns:
            The number of messages handled. Errors as for `take`.
        """
        return await self._handling.drain()

    async def repair(self, source: Source | None) -> int:
        """Request the missing and the differing messages that are due.

        Args:
            source: Receives the requests; without one they are logged, for a person.

        Returns:
            The number of requests sent. A request that could not be sent is repeated later.
        """
        now, policy = self._clock.now(), self._policy
        await self._database.run(lambda tx: give_up(tx, self.name, policy=policy, now=now))
        requests = await self._database.run(lambda tx: due_gaps(tx, self.name, policy=policy, now=now))
        requests += await self._database.run(lambda tx: due_digests(tx, self.name, policy=policy, now=now))
        if source is None:
            for request in requests:
                _log.warning(
                    "stream_needs_resending",
                    consumer=self.name,
                    stream=request.stream,
                    first=request.first,
                    last=request.last,
                )
            return 0
        for request in requests:
            await request.send(source)
        return len(requests)

    async def tidy(self, *, keep: timedelta) -> int:
        """Delete messages handled longer ago than this. Their repetitions are still recognized.

        Returns:
            The number of rows deleted.
        """
        before = self._clock.now() - keep
        return await self._database.run(lambda tx: tidy(tx, self.name, before=before))

    async def attend(
        self, source: Source | None, *, every: timedelta = timedelta(seconds=1), keep: timedelta = timedelta(days=7)
    ) -> None:
        """Do the work beside receiving messages, until cancelled: further attempts, requests, deletion of old rows."""
        tidied_at = None
        while True:
            try:
                await self.handle()
                await self.repair(source)
                if tidied_at is None or self._clock.now() - tidied_at > timedelta(minutes=10):
                    await self.tidy(keep=keep)
                    tidied_at = self._clock.now()
            except asyncpg.SyntaxOrAccessError:  # no tables or no rights: waiting does not help
                raise
            except (HutongError, asyncpg.PostgresError, OSError) as error:
                _log.warning("consumer_interrupted", consumer=self.name, reason=type(error).__name__)
            await asyncio.sleep(every.total_seconds())

    def _is_subscribed(self, content: Message | Digest | Reject) -> bool:
        return isinstance(content, Reject) or self.topics is None or topic_of(content.stream) in self.topics


def topic_of(stream: str) -> str:
    """Return the part of a stream's name between its source and its zone."""
    return stream.rpartition(".")[0].partition(".")[2]
