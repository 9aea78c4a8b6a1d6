"""Handling what is ready: in the transaction of the handler, each message counted before it is tried."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias

import asyncpg

from hutong import db, telemetry
from hutong.clock import Clock
from hutong.consumer.intake import keep_to_indexes, lock_streams, promote
from hutong.consumer.message import read
from hutong.consumer.model import Message, Policy, Reject
from hutong.consumer.statements import sql as _sql
from hutong.errors import HutongError, OutcomeUnknown, Unavailable

_log = telemetry.get_logger(__name__)
_REASON_MAX = 500
_NO_FAULT = (
    Unavailable,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # the server was replaced by one that only reads as yet
)
"""What no message is to blame for."""

Handler: TypeAlias = Callable[[db.Tx, Message], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Picked:
    """A message in our hands, where its row stands, and why it is none for the handler, if it is none."""

    place: tuple[int, int]
    stream: str
    no: int
    attempts: int
    hash: bytes
    message: Message | None
    refused: str | None


class Handling:
    """Brings what is ready to the handler.

    Several may run on one database at once, in one process or many: a message is in one pair of hands at a time.
    """

    def __init__(
        self,
        consumer: str,
        handler: Handler,
        database: db.Database,
        *,
        versions: Mapping[str, int],
        policy: Policy,
        clock: Clock,
    ) -> None:
        self._consumer = consumer
        self._handler = handler
        self._database = database
        self._versions = versions
        self._policy = policy
        self._clock = clock

    async def drain(self) -> int:
        """Handle all that is ready by now.

        Returns:
            How many messages were done.

        Errors:
            Unavailable, OutcomeUnknown: the database is gone; what was in hand is tried again later.
        """
        done = 0
        while True:
            picked = await self._pick(fresh=True) or await self._pick(fresh=False)
            if not picked:
                return done
            done += await self._handle([one for one in picked if one.refused is None])
            if refused := [one for one in picked if one.refused is not None]:
                await self._park([(one, one.refused or "") for one in refused])

    async def _pick(self, *, fresh: bool) -> list[_Picked]:
        now = self._clock.now()
        lease = now + self._policy.lease

        async def work(tx: db.Tx) -> list[_Picked]:
            await keep_to_indexes(tx)
            if fresh:
                rows = await _sql.pick_fresh.fetch(tx, self._consumer, now, lease, self._policy.batch)
            else:
                rows = await _sql.pick_tried.fetch(tx, self._consumer, now, lease)
            return [self._look(row) for row in rows]

        return sorted(await self._database.run(work), key=lambda one: (one.stream, one.no))

    def _look(self, row: asyncpg.Record) -> _Picked:
        message = read(row["body"])
        if not isinstance(message, Message):  # an earlier version could read it
            reason = message.reason if isinstance(message, Reject) else "is a digest"
            return _Picked(row["place"], row["stream"], row["no"], row["attempts"], row["hash"], None, reason)
        message = replace(message, attempt=row["attempts"], corrects=row["corrects"])
        refused = None
        if len(message.body) > self._policy.size_max:
            refused = f"has {len(message.body)} bytes, more than {self._policy.size_max}"
        elif message.version > self._versions.get(message.type, 1):
            refused = f"version {message.version} of {message.type} is not known"
        elif message.attempt > self._policy.tries:
            refused = f"the process did not outlive {message.attempt - 1} tries"
        return _Picked(row["place"], message.stream, message.no, message.attempt, row["hash"], message, refused)

    async def _handle(self, picked: Sequence[_Picked]) -> int:
        """Handle together. What fails is taken out and the rest done without it; where nobody can say which one it was,
        the halves are handled each on its own."""
        left = list(picked)
        while left:
            trying: list[_Picked] = []  # the one in the handler, if that is where it fails
            try:
                return await self._database.run(lambda tx: self._handle_in(tx, left, trying))  # noqa: B023 - awaited here
            except OutcomeUnknown:
                raise
            except asyncio.CancelledError as error:
                with suppress(HutongError):  # then their lease ends by itself
                    await self._postpone(left, error, counted=True, wait=timedelta(0))
                raise
            except _NO_FAULT as error:
                await self._postpone(left, error, counted=False)
                return 0
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the message's
                known = [] if isinstance(error, asyncpg.InFailedSQLTransactionError) else trying
                if known or len(left) == 1:
                    one = (known or left)[0]
                    await self._failed(one, error)
                    left.remove(one)
                    continue
            middle = len(left) // 2
            return await self._handle(left[:middle]) + await self._handle(left[middle:])
        return 0

    async def _handle_in(self, tx: db.Tx, picked: Sequence[_Picked], trying: list[_Picked]) -> int:
        rows = await _sql.hold_picked.fetch(tx, self._consumer, [one.place for one in picked])
        held = {(row["stream"], row["no"], row["attempts"], row["hash"]) for row in rows}
        ours = [one for one in picked if (one.stream, one.no, one.attempts, one.hash) in held]
        for one in ours:
            assert one.message is not None
            trying[:] = [one]
            async with asyncio.timeout(self._policy.limit.total_seconds()):
                await self._handler(tx, one.message)
        trying.clear()
        if ours:
            await keep_to_indexes(tx)
            await lock_streams(tx, self._consumer, [one.stream for one in ours])
            now = self._clock.now()
            marked = await _sql.finish.execute(tx, [one.place for one in ours], now)
            if marked != f"UPDATE {len(ours)}":  # a row was moved after all: undo, and look again whose it is
                raise asyncpg.SerializationError("a message in hand was changed")
            objects = [(one.stream, one.message.object_id) for one in ours if one.message is not None]
            await promote(tx, self._consumer, objects, now=now)
        return len(ours)

    async def _failed(self, one: _Picked, error: Exception) -> None:
        if one.attempts >= self._policy.tries:
            await self._park([(one, _reason(error))])
            return
        _log.info(
            "stream_message_failed",
            consumer=self._consumer,
            stream=one.stream,
            no=one.no,
            attempt=one.attempts,
            reason=_reason(error),
        )
        await self._postpone([one], error, counted=True)

    async def _postpone(
        self, picked: Sequence[_Picked], error: BaseException, *, counted: bool, wait: timedelta | None = None
    ) -> None:
        """Have these tried again: after a wait that doubles, unless one is given."""
        if wait is None:
            wait = min(self._policy.wait_max, self._policy.wait * (1 << picked[0].attempts - 1))
            if isinstance(error, Unavailable):
                wait = max(wait, timedelta(seconds=error.retry_after_s))
        await self._database.run(
            lambda tx: _sql.postpone.execute(
                tx,
                self._consumer,
                [one.stream for one in picked],
                [one.no for one in picked],
                self._clock.now() + wait,
                _reason(error),
                not counted,
                [one.attempts for one in picked],
            )
        )

    async def _park(self, parked: Sequence[tuple[_Picked, str]]) -> None:
        rows = await self._database.run(
            lambda tx: _sql.park.fetch(
                tx,
                self._consumer,
                [one.stream for one, _ in parked],
                [one.no for one, _ in parked],
                [one.attempts for one, _ in parked],
                [reason for _, reason in parked],
            )
        )
        done = {(row["stream"], row["no"]) for row in rows}
        for one, reason in parked:
            if (one.stream, one.no) in done:
                _log.warning(
                    "stream_message_parked",
                    consumer=self._consumer,
                    stream=one.stream,
                    no=one.no,
                    object_id=one.message and one.message.object_id,
                    reason=reason,
                )


def _reason(error: BaseException) -> str:
    """What failed, for a person; never with a secret, and without what PostgreSQL cannot hold."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return telemetry.mask(text.replace("\x00", ""))[:_REASON_MAX]
