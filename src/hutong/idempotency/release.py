"""Letting go of a key whose request ends without an answer, so that its repetition need not wait for the lease."""

from __future__ import annotations

import asyncio
from datetime import datetime
from types import TracebackType

from hutong import db
from hutong.errors import HutongError, OutcomeUnknown
from hutong.idempotency.model import LEASE, Claim
from hutong.idempotency.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_WAIT_S = 1.0
"""How long the answer of a request waits for its key; a database that does not answer is tried on in the background."""
_PAUSE_S = 0.2

_releasing: set[asyncio.Task[None]] = set()


class Release:
    """A block that works under a key, and releases the key if it ends by an error.

    Args:
        since: When the request began.

    Attributes:
        is_claimed: Whether the key is known to be claimed by this request. Until then only an error that leaves this
            open releases it: what was refused or not accepted has claimed nothing.

    Effects:
        The claim lapses before the error goes on, or, if the database does not answer, as soon as it does. The same
        request may claim the key again at once; what it has done already is found under its number.
    """

    def __init__(self, database: db.Database, claim: Claim | None, *, since: datetime) -> None:
        self._database = database
        self._claim = claim
        self._since = since
        self.is_claimed = False

    async def __aenter__(self) -> Release:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        is_definite = isinstance(error, HutongError) and not isinstance(error, OutcomeUnknown)
        if error is None or self._claim is None or (is_definite and not self.is_claimed):
            return
        task = asyncio.create_task(self._release(self._claim), name="idempotency:release")
        _releasing.add(task)
        task.add_done_callback(_releasing.discard)
        await asyncio.wait({task}, timeout=_WAIT_S)

    async def _release(self, claim: Claim) -> None:
        loop = asyncio.get_running_loop()
        lapses_at = loop.time() + LEASE.total_seconds()
        while loop.time() < lapses_at:
            try:
                await self._database.run(lambda tx: release(tx, claim, since=self._since))
            except HutongError as error:
                _log.info("key_not_released", reason=error.code)
                await asyncio.sleep(_PAUSE_S)
            else:
                return


async def release(tx: db.Tx, claim: Claim, *, since: datetime) -> None:
    """Let the claim of a request that began at `since` lapse, unless it has an answer.

    Waits for a transaction that may still commit the claim.
    """
    await sql.release_key.execute(tx, claim.owner_id, claim.key, claim.fingerprint, since + LEASE)
