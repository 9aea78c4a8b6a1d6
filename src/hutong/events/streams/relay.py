"""The relay: publishes streams to a broker."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

import asyncpg
from prometheus_client import Counter, Gauge, Histogram

from hutong import db
from hutong.clock import Clock
from hutong.errors import HutongError
from hutong.events.statements import sql
from hutong.events.streams.messages import StreamItem, digest_hash, digest_item, event_item, item_hash
from hutong.events.streams.streams import BATCH, Publisher, answer_request, list_streams, read_stream, waves
from hutong.telemetry import get_logger

LEASE = timedelta(seconds=15)
"""The time for which a relay has a stream to itself. After it, another relay takes over from one that has died."""

DIGEST_EVERY = 1_000
"""The most numbers that one digest covers, in busy streams."""

DIGEST_INTERVAL = timedelta(seconds=10)
"""The longest time between digests, in quiet streams."""

AnswerRequest = Callable[[bytes], Awaitable[None]]
Connect = Callable[[AnswerRequest | None], AbstractAsyncContextManager[Publisher]]
"""Connects to a broker; the function, if any, receives what listeners request there."""

_PASS_S = 0.05
_IDLE_MAX_S = 0.2
_PAUSE_S = 0.2
_PAUSE_MAX_S = 5.0
_MEASURE_EVERY_S = 10.0
_BROKEN_PAUSE_S = 60.0
_HEARTBEAT_EXPIRES_S = 60
_PUBLISHED = Counter("hutong_broker_published_total", "Events that the broker confirmed.", ["stream"])
_UNCONFIRMED = Counter(
    "hutong_broker_unconfirmed_total", "Messages that the broker did not confirm; they are repeated."
)
_RESENT = Counter("hutong_broker_answers_total", "Messages published because a listener asked for them.")
_BACKLOG = Gauge("hutong_broker_backlog", "Events numbered and not yet published.", ["stream"])
_OLDEST = Gauge("hutong_broker_oldest_seconds", "Age of the oldest event not yet published.", ["stream"])
_UP = Gauge("hutong_broker_up", "1 while the broker is connected and confirms.")
_LAG = Histogram(
    "hutong_broker_lag_seconds",
    "From the record of an event to its confirmation by the broker.",
    buckets=(0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5, 10, 60, 600, 3600, 86400),
)
_log = get_logger(__name__)


class _BrokerFailed(Exception):
    """The broker did not confirm, so the connection is replaced."""


class _StreamBroken(Exception):
    """Numbers that were not published are no longer in the database."""


@dataclass(slots=True)
class _OpenDigest:
    """The published numbers that no digest covers yet: those after `digested_no`, up to `upto`."""

    digested_no: int
    upto: int
    hashes: Any

    @classmethod
    def after(cls, digested_no: int) -> _OpenDigest:
        return cls(digested_no, digested_no, hashlib.sha256())

    def add(self, items: list[StreamItem]) -> None:
        for item in items:
            self.hashes.update(item_hash(item.body))
        self.upto += len(items)


@dataclass(frozen=True, slots=True)
class _ClaimedStream:
    """A stream under our lease, in its state at the time of the claim."""

    stream: str
    last_no: int
    published_no: int
    digested_no: int
    digested_at: datetime | None


class Relay:
    """Publishes streams to a broker. Any number may run at once, on any machines.

    Promises at least once, under the event's id: an event that is not confirmed is published again. An object's events
    arrive in order: of two events of an object the second is not published before the first is confirmed. Only a
    broker that is down makes events wait, and nothing else waits for the broker.

    Args:
        connect: Opens a connection to the broker.
        new_id: Names this relay and its digests.
        digest_every, digest_interval: A digest follows after so many events, or so long after the previous one.
        lease: The time for which a stream stays with a relay that has died; three times what a broker may take to
            confirm.
    """

    def __init__(
        self,
        database: db.Database,
        clock: Clock,
        *,
        connect: Connect,
        new_id: Callable[[], UUID],
        digest_every: int = DIGEST_EVERY,
        digest_interval: timedelta = DIGEST_INTERVAL,
        lease: timedelta = LEASE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._connect = connect
        self._new_id = new_id
        self._owner = new_id()
        self._digest_every = digest_every
        self._digest_interval = digest_interval
        self._lease = lease
        self._digests: dict[str, _OpenDigest] = {}
        self._broken: dict[str, float] = {}
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._measured_at = 0.0
        self._published = 0

    async def run(self) -> None:
        """Publish until `stop` is called, and wait for a broker or a database that is unavailable.

        A cancellation drops messages that are not yet confirmed: they are published again, under the same ids.
        """
        pause_s = _PAUSE_S
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                await self._run_connected()
            except Exception as error:  # noqa: BLE001 - whatever a broker or the database does, the relay comes back
                _UP.set(0)
                _log.warning("broker_unavailable", reason=_reason(error))
                pause_s = _PAUSE_S if time.monotonic() - begun > _PAUSE_MAX_S else min(2 * pause_s, _PAUSE_MAX_S)
                await self._release()
                await db.wait_for(self._stopping, pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads relays only
                await self._measure()
        await self._release()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stopping.set()
        self._wake.set()

    def wake(self) -> None:
        """Start the next pass at once: there is something to publish."""
        self._wake.set()

    async def _run_connected(self) -> None:
        """Publish over one connection until it fails or the relay stops."""
        ready: asyncio.Future[Publisher] = asyncio.get_running_loop().create_future()

        async def answer(request: bytes) -> None:
            await self._answer(await ready, request)  # a request may be waiting there before we are connected

        async with self._connect(answer) as publisher:
            ready.set_result(publisher)
            _UP.set(1)
            pause_s = _PASS_S
            while not self._stopping.is_set():
                self._wake.clear()
                published_before = self._published
                if not await self.run_once(publisher):
                    pause_s = _PASS_S if self._published > published_before else min(2 * pause_s, _IDLE_MAX_S)
                    await db.wait_for(self._wake, pause_s)
                await self._measure()

    async def run_once(self, publisher: Publisher) -> bool:
        """Publish one batch of each stream that has something to publish and is free.

        Returns:
            Whether there is more to publish now.
        """
        now = self._clock.now()
        since = now - self._digest_interval
        async with self._database.transaction() as tx:
            rows = await sql.claim_streams.fetch(tx, self._owner, now, now + self._lease, since)
        if not rows:
            return False
        claims = [_ClaimedStream(**row) for row in rows]
        results = await asyncio.gather(
            *(self._publish_unless_broken(publisher, claim) for claim in claims), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return any(more is True for more in results)

    async def _publish_unless_broken(self, publisher: Publisher, claim: _ClaimedStream) -> bool:
        """Leave a stream that has lost numbers to a person, and continue with the others."""
        if self._broken.get(claim.stream, 0.0) > time.monotonic():
            return False
        try:
            return await self._publish_stream(publisher, claim)
        except _StreamBroken as error:
            _log.error("stream_broken", stream=claim.stream, missing=error.args[0])
            self._broken[claim.stream] = time.monotonic() + _BROKEN_PAUSE_S
            return False

    async def _publish_stream(self, publisher: Publisher, claim: _ClaimedStream) -> bool:
        """Publish the next batch of a stream, record that, and publish a digest if one is due.

        Returns:
            Whether the stream has more to publish.
        """
        digest = await self._open_digest(claim)
        room = self._digest_every - (claim.published_no - claim.digested_no)
        count = min(BATCH, room if room > 0 else BATCH, claim.last_no - claim.published_no)
        upto = claim.published_no
        if count > 0:
            published, failed = await self._publish(publisher, await self._read_next(claim, count))
            if published:
                upto += len(published)
                async with self._database.transaction() as tx:
                    if await sql.mark_published.fetchval(tx, claim.stream, self._owner, upto) is None:
                        _log.info("stream_lease_lost", stream=claim.stream)
                        return True
                self._published += len(published)
                digest.add(published)
                _PUBLISHED.labels(claim.stream).inc(len(published))
            if failed:
                raise _BrokerFailed("not_confirmed")
        due = claim.digested_at is None or claim.digested_at <= self._clock.now() - self._digest_interval
        if upto - claim.digested_no >= self._digest_every or (due and upto > 0):
            await self._publish_digest(publisher, claim, digest)
        return upto < claim.last_no

    async def _read_next(self, claim: _ClaimedStream, count: int) -> list[StreamItem]:
        first = claim.published_no + 1
        async with self._database.transaction() as tx:
            entries = await read_stream(tx, claim.stream, first, claim.published_no + count)
        if [entry.no for entry in entries] != list(range(first, first + len(entries))) or not entries:
            raise _StreamBroken(first)
        return [event_item(entry) for entry in entries]

    async def _publish(self, publisher: Publisher, items: list[StreamItem]) -> tuple[list[StreamItem], bool]:
        """Publish items in waves.

        An item confirmed behind an unconfirmed one is published again later, since the mark is one number. Waves end
        well before the lease does.

        Returns:
            The items confirmed without a gap from the first one on, and whether an item was not confirmed.
        """
        begun, failed = time.monotonic(), False
        confirmed: set[str] = set()
        for wave in waves(items):
            if confirmed and time.monotonic() - begun > self._lease.total_seconds() / 3:
                break
            results = await publisher.publish(wave)
            confirmed.update(item.message_id for item, ok in zip(wave, results, strict=True) if ok)
            if not all(results):
                _UNCONFIRMED.inc(results.count(False))
                failed = True
                break
        now = self._clock.now()
        done = list(takewhile(lambda item: item.message_id in confirmed, items))
        for item in done:
            assert item.recorded_at is not None
            _LAG.observe((now - item.recorded_at).total_seconds())
        return done, failed

    async def _open_digest(self, claim: _ClaimedStream) -> _OpenDigest:
        """Return the numbers that the next digest covers so far.

        They are read again if another relay has published them, or this one before a failure.
        """
        digest = self._digests.get(claim.stream)
        if digest is not None and (digest.digested_no, digest.upto) == (claim.digested_no, claim.published_no):
            return digest
        digest = _OpenDigest.after(claim.digested_no)
        while digest.upto < claim.published_no:
            first, last = digest.upto + 1, min(digest.upto + BATCH, claim.published_no)
            async with self._database.transaction() as tx:
                entries = await read_stream(tx, claim.stream, first, last)
            if len(entries) != last - first + 1:
                raise _StreamBroken(first)
            digest.add([event_item(entry) for entry in entries])
        self._digests[claim.stream] = digest
        return digest

    async def _publish_digest(self, publisher: Publisher, claim: _ClaimedStream, digest: _OpenDigest) -> None:
        """Publish a digest of the messages since the last one; without any, repeat the last number as a heartbeat.

        So a listener notices the loss of the last message and of its digest as well.
        """
        now, expires_s = self._clock.now(), None
        first, last, value = digest.digested_no + 1, digest.upto, digest.hashes.hexdigest()
        if first > last:
            async with self._database.transaction() as tx:
                entries = await read_stream(tx, claim.stream, last, last)
            first, expires_s = last, _HEARTBEAT_EXPIRES_S
            value = digest_hash(item_hash(event_item(entry).body) for entry in entries)
            if not entries:  # archived, so there is nothing to repeat
                await self._mark_digested(claim.stream, last, now)
                return
        item = digest_item(self._new_id(), claim.stream, first, last, value, now=now, expires_s=expires_s)
        if not all(await publisher.publish([item])):
            _UNCONFIRMED.inc()
            raise _BrokerFailed("not_confirmed")
        await self._mark_digested(claim.stream, last, now)

    async def _mark_digested(self, stream: str, last: int, now: datetime) -> None:
        async with self._database.transaction() as tx:
            await sql.mark_digested.fetchval(tx, stream, self._owner, last, now)
        self._digests[stream] = _OpenDigest.after(last)

    async def _answer(self, publisher: Publisher, request: bytes) -> None:
        """Answer a listener's request; log and forget one that is refused."""
        now = self._clock.now()
        try:
            count = await answer_request(self._database, publisher, request, new_id=self._new_id, now=now)
        except HutongError as error:
            if error.retryable:
                raise
            _log.warning("stream_request_refused", reason=error.detail, param=error.param)
        else:
            _RESENT.inc(count)
            _log.info("stream_request_answered", count=count)

    async def _release(self) -> None:
        try:
            async with self._database.transaction() as tx:
                await sql.release_streams.execute(tx, self._owner)
        except (HutongError, asyncpg.PostgresError, OSError) as error:  # then the leases expire
            _log.info("stream_leases_kept", reason=type(error).__name__)

    async def _measure(self) -> None:
        """Publish the lag of each stream as metrics, every few seconds."""
        if time.monotonic() - self._measured_at < _MEASURE_EVERY_S:
            return
        self._measured_at = time.monotonic()
        try:
            async with self._database.transaction() as tx:
                streams = await list_streams(tx)
        except (HutongError, asyncpg.PostgresError, OSError):  # `run` reports it
            return
        now = self._clock.now()
        for stream in streams:
            age = (now - stream.waiting_since).total_seconds() if stream.waiting_since else 0
            _BACKLOG.labels(stream.stream).set(stream.last_no - stream.published_no)
            _OLDEST.labels(stream.stream).set(age)


def _reason(error: Exception) -> str:
    """Return a reason without the message of a library, which may contain anything."""
    if isinstance(error, HutongError):
        return error.detail
    return str(error) if isinstance(error, _BrokerFailed) else type(error).__name__
