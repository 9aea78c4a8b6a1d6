"""The instants of deliveries and streams after a jump of the clock: they are those of another clock."""

from __future__ import annotations

from datetime import datetime

from hutong import db
from hutong.events.statements import sql
from hutong.events.streams import relay
from hutong.events.webhooks import worker

_AT_ONCE = 5_000


async def make_all_due(database: db.Database, *, now: datetime) -> None:
    """Make everything that waits due now, end claims and leases that would last too long, and forget for how long
    endpoints have been failing.

    Effects:
        A backlog is gone through in transactions of some thousand deliveries.

    Repeat:
        Changes nothing but that.
    """

    async def some(tx: db.Tx) -> int:
        return len(await sql.make_deliveries_due.fetch(tx, now=now, claims_end=now + worker.LEASE, most=_AT_ONCE))

    async def rest(tx: db.Tx) -> None:
        await sql.restart_failing.execute(tx, now=now)
        await sql.make_streams_due.execute(tx, now=now, leases_end=now + relay.LEASE)

    while await database.run(some):
        pass
    await database.run(rest)
