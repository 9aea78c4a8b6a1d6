"""The handling of ready messages: in the transaction of the handler, each attempt counted before it is made."""

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
from hutong.consumer.statements import sql
from hutong.errors import HutongError, OutcomeUnknown, Unavailable

_log = telemetry.get_logger(__name__)
_REASON_MAX = 500
_NO_FAULT = (
    Unavailable,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # the server was replaced by one that is still read-only
)
"""The errors that no message is to blame for."""

Handler: TypeAlias = Callable[[db.Tx, Message], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Picked:
    """A picked message, the place of its row, and the reason why it cannot go to the handler, if any."""

    place: tuple[int, int]
    stream: str
    no: int
    attempts: int
    hash: bytes
    message: Message | None
    refusal: str | None


class Handling:
    """Passes ready messages to the handler.

    Several may run on one database at once, in one process or many: a message is picked by one of them at a time.
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
        """Handle all messages that are ready by now.

        Returns:
            The number of messages handled.

        Errors:
            Unavailable, OutcomeUnknown: the database is unavailable; picked messages are attempted again later.
        """
        count = 0
        while True:
            picked = await self._pick(fresh=True) or await self._pick(fresh=False)
            if not picked:
                return count
            count += await self._handle([one for one in picked if one.refusal is None])
            if refused := [one for one in picked if one.refusal is not None]:
                await self._park([(one, one.refusal or "") for one in refused])

    async def _pick(self, *, fresh: bool) -> list[_Picked]:
        now = self._clock.now()
        lease = now + self._policy.lease

        async def work(tx: db.Tx) -> list[_Picked]:
            await keep_to_indexes(tx)
            if fresh:
                rows = await sql.pick_fresh.fetch(tx, self._consumer, now, lease, self._policy.batch)
            else:
                rows = await sql.pick_attempted.fetch(tx, self._consumer, now, lease)
            return [self._read(row) for row in rows]

        return sorted(await self._database.run(work), key=lambda one: (one.stream, one.no))

    def _read(self, row: asyncpg.Record) -> _Picked:
        message = read(row["body"])
        if not isinstance(message, Message):  # an earlier version of this package could read it
            reason = message.reason if isinstance(message, Reject) else "is a digest"
            return _Picked(row["place"], row["stream"], row["no"], row["attempts"], row["hash"], None, reason)
        message = replace(message, attempt=row["attempts"], corrects=row["corrects"])
        refusal = None
        if len(message.body) > self._policy.size_max:
            refusal = f"the message has {len(message.body)} bytes, more than {self._policy.size_max}"
        elif message.version > self._versions.get(message.type, 1):
            refusal = f"version {message.version} of {message.type} is not supported"
        elif message.attempt > self._policy.tries:
            refusal = f"the process died in each of {message.attempt - 1} attempts"
        return _Picked(row["place"], message.stream, message.no, message.attempt, row["hash"], message, refusal)

    async def _handle(self, picked: Sequence[_Picked]) -> int:
        """Handle messages together. A failed one is taken out and the rest handled without it.

        If the failed message cannot be determined, each half of the messages is handled on its own.
        """
        left = list(picked)
        while left:
            current: list[_Picked] = []  # the message in the handler, if the failure happens there
            try:
                return await self._database.run(lambda tx: self._handle_in(tx, left, current))  # noqa: B023 - awaited
            except OutcomeUnknown:
                raise
            except asyncio.CancelledError as error:
                with suppress(HutongError):  # then the lease expires
                    await self._postpone(left, error, counted=True, wait=timedelta(0))
                raise
            except _NO_FAULT as error:
                await self._postpone(left, error, counted=False)
                return 0
            except Exception as error:  # noqa: BLE001 - every other error is the message's
                blamed = [] if isinstance(error, asyncpg.InFailedSQLTransactionError) else current
                if blamed or len(left) == 1:
                    failed = (blamed or left)[0]
                    await self._record_failure(failed, error)
                    left.remove(failed)
                    continue
            middle = len(left) // 2
            return await self._handle(left[:middle]) + await self._handle(left[middle:])
        return 0

    async def _handle_in(self, tx: db.Tx, picked: Sequence[_Picked], current: list[_Picked]) -> int:
        rows = await sql.hold_picked.fetch(tx, self._consumer, [one.place for one in picked])
        held = {(row["stream"], row["no"], row["attempts"], row["hash"]) for row in rows}
        ours = [one for one in picked if (one.stream, one.no, one.attempts, one.hash) in held]
        for one in ours:
            assert one.message is not None
            current[:] = [one]
            async with asyncio.timeout(self._policy.limit.total_seconds()):
                await self._handler(tx, one.message)
        current.clear()
        if ours:
            await keep_to_indexes(tx)
            await lock_streams(tx, self._consumer, [one.stream for one in ours])
            now = self._clock.now()
            command = await sql.finish.execute(tx, [one.place for one in ours], now)
            if command != f"UPDATE {len(ours)}":  # a row was moved nevertheless: roll back, and pick again
                raise asyncpg.SerializationError("a picked message was changed")
            objects = [(one.stream, one.message.object_id) for one in ours if one.message is not None]
            await promote(tx, self._consumer, objects, now=now)
        return len(ours)

    async def _record_failure(self, failed: _Picked, error: Exception) -> None:
        if failed.attempts >= self._policy.tries:
            await self._park([(failed, _reason(error))])
            return
        _log.info(
            "stream_message_failed",
            consumer=self._consumer,
            stream=failed.stream,
            no=failed.no,
            attempt=failed.attempts,
            reason=_reason(error),
        )
        await self._postpone([failed], error, counted=True)

    async def _postpone(
        self, picked: Sequence[_Picked], error: BaseException, *, counted: bool, wait: timedelta | None = None
    ) -> None:
        """Have messages attempted again, after the given wait or one that doubles each time.

        Args:
            counted: Whether the failed attempt counts.
        """
        if wait is None:
            wait = min(self._policy.wait_max, self._policy.wait * (1 << picked[0].attempts - 1))
            if isinstance(error, Unavailable):
                wait = max(wait, timedelta(seconds=error.retry_after_s))
        await self._database.run(
            lambda tx: sql.postpone.execute(
                tx,
                consumer=self._consumer,
                stream=[one.stream for one in picked],
                no=[one.no for one in picked],
                attempts=[one.attempts for one in picked],
                next_at=self._clock.now() + wait,
                reason=_reason(error),
                uncounted=not counted,
            )
        )

    async def _park(self, parked: Sequence[tuple[_Picked, str]]) -> None:
        rows = await self._database.run(
            lambda tx: sql.park.fetch(
                tx,
                self._consumer,
                [one.stream for one, _ in parked],
                [one.no for one, _ in parked],
                [one.attempts for one, _ in parked],
                [reason for _, reason in parked],
            )
        )
        changed = {(row["stream"], row["no"]) for row in rows}
        for one, reason in parked:
            if (one.stream, one.no) in changed:
                _log.warning(
                    "stream_message_parked",
                    consumer=self._consumer,
                    stream=one.stream,
                    no=one.no,
                    object_id=one.message and one.message.object_id,
                    reason=reason,
                )


def _reason(error: BaseException) -> str:
    """Return the failure as text for a person, without secrets and without characters that PostgreSQL refuses."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return telemetry.mask(text.replace("\x00", ""))[:_REASON_MAX]
