"""The worker that tells a broker."""

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
from hutong.events.statements import sql as _sql
from hutong.events.streams.messages import StreamItem, digest, digest_hash, item, item_hash
from hutong.events.streams.streams import BATCH, Publisher, answer_request, list_streams, read_stream, waves
from hutong.telemetry import get_logger

LEASE = timedelta(seconds=15)
"""For how long a relay has a stream to itself. One that has died is taken for dead after it."""

DIGEST_EVERY = 1_000
"""How many numbers a digest covers, when there is much to tell."""

DIGEST_INTERVAL = timedelta(seconds=10)
"""How long a digest may be waited for, when there is little."""

Request = Callable[[bytes], Awaitable[None]]
Connect = Callable[[Request | None], AbstractAsyncContextManager[Publisher]]
"""Connects to a broker; what listeners ask for there is given to the function, unless there is none."""

_TURN_S = 0.05
_IDLE_MAX_S = 0.2
_PAUSE_S = 0.2
_PAUSE_MAX_S = 5.0
_MEASURE_EVERY_S = 10.0
_BROKEN_PAUSE_S = 60.0
_REPEAT_EXPIRES_S = 60
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
    """It did not confirm, so the connection is made anew."""


class _StreamBroken(Exception):
    """Numbers that were not published are not there any more."""


@dataclass(slots=True)
class _Digest:
    """What is told and not yet covered by a digest: the numbers behind `digested_no` up to `upto`."""

    digested_no: int
    upto: int
    hashes: Any

    @classmethod
    def after(cls, digested_no: int) -> _Digest:
        return cls(digested_no, digested_no, hashlib.sha256())

    def add(self, items: list[StreamItem]) -> None:
        for one in items:
            self.hashes.update(item_hash(one.body))
        self.upto += len(items)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A stream that is ours for the time of a lease, as it was when it was claimed."""

    stream: str
    last_no: int
    published_no: int
    digested_no: int
    digested_at: datetime | None


class Relay:
    """Publishes streams to a broker; as many may run at once as one likes, on any machines.

    Promises at least once, under the event's id: what is not confirmed is published again. An object's events arrive in
    order: of two events of an object the second is not published before the first is confirmed. Only a broker that is
    down makes events wait, and nothing else waits for it.

    Args:
        connect: Opens a connection to the broker.
        new_id: Names this relay and its digests.
        digest_every, digest_interval: A digest follows so many events, or so long after the last one.
        lease: For how long a stream stays with a relay that has died; three times what a broker may take to confirm.
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
        self._digests: dict[str, _Digest] = {}
        self._broken: dict[str, float] = {}
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._measured_at = 0.0
        self._told = 0

    async def run(self) -> None:
        """Publish until `stop` is called. A broker or a database that is away is waited for.

        Cancelling it drops what is on its way: it is published again, under the same ids.
        """
        pause_s = _PAUSE_S
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                await self._connected()
            except Exception as error:  # noqa: BLE001 - whatever a broker or the database does, we come back
                _UP.set(0)
                _log.warning("broker_unavailable", reason=_reason(error))
                pause_s = _PAUSE_S if time.monotonic() - begun > _PAUSE_MAX_S else min(2 * pause_s, _PAUSE_MAX_S)
                await self._release()
                await _either(self._stopping, pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads relays only
                await self._measure()
        await self._release()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stopping.set()
        self._wake.set()

    def wake(self) -> None:
        """There is something to tell: do not wait for the next look."""
        self._wake.set()

    async def _connected(self) -> None:
        """Publish over one connection until it fails or we stop."""
        ready: asyncio.Future[Publisher] = asyncio.get_running_loop().create_future()

        async def answer(request: bytes) -> None:
            await self._answer(await ready, request)  # one may be waiting there before we are connected

        async with self._connect(answer) as publisher:
            ready.set_result(publisher)
            _UP.set(1)
            pause_s = _TURN_S
            while not self._stopping.is_set():
                self._wake.clear()
                told = self._told
                if not await self.turn(publisher):
                    pause_s = _TURN_S if self._told > told else min(2 * pause_s, _IDLE_MAX_S)
                    await _either(self._wake, pause_s)
                await self._measure()

    async def turn(self, publisher: Publisher) -> bool:
        """Publish one batch of each stream that has something to tell and is free.

        Returns:
            Whether there is more to tell now.
        """
        now = self._clock.now()
        since = now - self._digest_interval
        async with self._database.transaction() as tx:
            rows = await _sql.claim_streams.fetch(tx, self._owner, now, now + self._lease, since)
        if not rows:
            return False
        claims = [_Claim(**row) for row in rows]
        told = await asyncio.gather(*(self._tell_or_skip(publisher, one) for one in claims), return_exceptions=True)
        for result in told:
            if isinstance(result, BaseException):
                raise result
        return any(more is True for more in told)

    async def _tell_or_skip(self, publisher: Publisher, claim: _Claim) -> bool:
        """Leave a stream that has lost numbers to a person, and go on with the others."""
        if self._broken.get(claim.stream, 0.0) > time.monotonic():
            return False
        try:
            return await self._tell(publisher, claim)
        except _StreamBroken as error:
            _log.error("stream_broken", stream=claim.stream, missing=error.args[0])
            self._broken[claim.stream] = time.monotonic() + _BROKEN_PAUSE_S
            return False

    async def _tell(self, publisher: Publisher, claim: _Claim) -> bool:
        """Publish the next batch of a stream, mark it, and let a digest follow if it is time."""
        covered = await self._covered(claim)
        room = self._digest_every - (claim.published_no - claim.digested_no)
        wanted = min(BATCH, room if room > 0 else BATCH, claim.last_no - claim.published_no)
        upto = claim.published_no
        if wanted > 0:
            items = await self._next(claim, wanted)
            published, failed = await self._publish(publisher, items)
            if published:
                upto += len(published)
                async with self._database.transaction() as tx:
                    if await _sql.mark_published.fetchval(tx, claim.stream, self._owner, upto) is None:
                        _log.info("stream_lease_lost", stream=claim.stream)
                        return True
                self._told += len(published)
                covered.add(published)
                _PUBLISHED.labels(claim.stream).inc(len(published))
            if failed:
                raise _BrokerFailed("not_confirmed")
        count = upto - claim.digested_no
        due = claim.digested_at is None or claim.digested_at <= self._clock.now() - self._digest_interval
        if count >= self._digest_every or (due and upto > 0):
            await self._digest(publisher, claim, covered)
        return upto < claim.last_no

    async def _next(self, claim: _Claim, wanted: int) -> list[StreamItem]:
        first = claim.published_no + 1
        async with self._database.transaction() as tx:
            entries = await read_stream(tx, claim.stream, first, claim.published_no + wanted)
        if [entry.no for entry in entries] != list(range(first, first + len(entries))) or not entries:
            raise _StreamBroken(first)
        return [item(entry) for entry in entries]

    async def _publish(self, publisher: Publisher, items: list[StreamItem]) -> tuple[list[StreamItem], bool]:
        """Publish in waves; returns those from the first on that are confirmed, and whether one was not.

        What was confirmed behind one that was not is published again later: the mark is one number. Waves end well
        before the lease does.
        """
        begun, failed = time.monotonic(), False
        confirmed: set[str] = set()
        for wave in waves(items):
            if confirmed and time.monotonic() - begun > self._lease.total_seconds() / 3:
                break
            results = await publisher.publish(wave)
            confirmed.update(one.message_id for one, ok in zip(wave, results, strict=True) if ok)
            if not all(results):
                _UNCONFIRMED.inc(results.count(False))
                failed = True
                break
        now = self._clock.now()
        done = list(takewhile(lambda one: one.message_id in confirmed, items))
        for one in done:
            assert one.recorded_at is not None
            _LAG.observe((now - one.recorded_at).total_seconds())
        return done, failed

    async def _covered(self, claim: _Claim) -> _Digest:
        """What the next digest covers so far; read again where another relay, or we before a failure, told it."""
        known = self._digests.get(claim.stream)
        if known is not None and (known.digested_no, known.upto) == (claim.digested_no, claim.published_no):
            return known
        known = _Digest.after(claim.digested_no)
        while known.upto < claim.published_no:
            first, last = known.upto + 1, min(known.upto + BATCH, claim.published_no)
            async with self._database.transaction() as tx:
                entries = await read_stream(tx, claim.stream, first, last)
            if len(entries) != last - first + 1:
                raise _StreamBroken(first)
            known.add([item(entry) for entry in entries])
        self._digests[claim.stream] = known
        return known

    async def _digest(self, publisher: Publisher, claim: _Claim, covered: _Digest) -> None:
        """Say what was told since the last digest; where nothing was, say the last number once more.

        So the loss of the last message and of its digest is noticed as well.
        """
        now, expires_s = self._clock.now(), None
        first, last, hashed = covered.digested_no + 1, covered.upto, covered.hashes.hexdigest()
        if first > last:
            async with self._database.transaction() as tx:
                entries = await read_stream(tx, claim.stream, last, last)
            first, expires_s = last, _REPEAT_EXPIRES_S
            hashed = digest_hash(item_hash(item(entry).body) for entry in entries)
            if not entries:  # archived, so there is nothing to say
                await self._mark_digested(claim.stream, last, now)
                return
        made = digest(self._new_id(), claim.stream, first, last, hashed, now=now, expires_s=expires_s)
        if not all(await publisher.publish([made])):
            _UNCONFIRMED.inc()
            raise _BrokerFailed("not_confirmed")
        await self._mark_digested(claim.stream, last, now)

    async def _mark_digested(self, stream: str, last: int, now: datetime) -> None:
        async with self._database.transaction() as tx:
            await _sql.mark_digested.fetchval(tx, stream, self._owner, last, now)
        self._digests[stream] = _Digest.after(last)

    async def _answer(self, publisher: Publisher, request: bytes) -> None:
        """Do what a listener asks for; what cannot be done is logged and forgotten."""
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
                await _sql.release_streams.execute(tx, self._owner)
        except (HutongError, asyncpg.PostgresError, OSError) as error:  # then the leases end by themselves
            _log.info("stream_leases_kept", reason=type(error).__name__)

    async def _measure(self) -> None:
        """Show how far behind each stream is, now and then."""
        if time.monotonic() - self._measured_at < _MEASURE_EVERY_S:
            return
        self._measured_at = time.monotonic()
        try:
            async with self._database.transaction() as tx:
                streams = await list_streams(tx)
        except (HutongError, asyncpg.PostgresError, OSError):  # it was said by who needed it
            return
        now = self._clock.now()
        for one in streams:
            age = (now - one.waiting_since).total_seconds() if one.waiting_since else 0
            _BACKLOG.labels(one.stream).set(one.last_no - one.published_no)
            _OLDEST.labels(one.stream).set(age)


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but no longer than this."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _reason(error: Exception) -> str:
    """What went wrong, without what a library may have put into its message."""
    if isinstance(error, HutongError):
        return error.detail
    return str(error) if isinstance(error, _BrokerFailed) else type(error).__name__
