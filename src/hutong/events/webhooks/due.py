"""The instants of deliveries and streams after a jump of the clock: they are those of another clock."""

from __future__ import annotations

from datetime import datetime

from hutong import db
from hutong.events.statements import sql
from hutong.events.streams import relay
from hutong.events.webhooks import worker


async def make_all_due(tx: db.Tx, *, now: datetime) -> None:
    """Make everything that waits due now, end claims and leases that would last too long, and forget for how long
    endpoints have been failing.

    Repeat:
        Changes nothing but that.
    """
    await sql.make_deliveries_due.execute(tx, now=now, claims_end=now + worker.LEASE)
    await sql.restart_failing.execute(tx, now=now)
    await sql.make_streams_due.execute(tx, now=now, leases_end=now + relay.LEASE)
