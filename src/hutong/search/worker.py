"""The worker that keeps payment records up to date."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from prometheus_client import Gauge

from hutong import db
from hutong.clock import Clock
from hutong.search.projector import project_events

PROJECT_EVERY_S = 0.5
"""The pause between two looks for new events."""

SCHEMA_PACKAGES = ("db", "search")
"""The packages whose migrations make a database of payment records alone."""

_PAUSE = timedelta(seconds=5)
"""The pause after a failed run."""

_UP = Gauge("hutong_query_up", "1 while payment records can be brought up to date, 0 after a failure.")


class ProjectionWorker:
    """Brings payment records up to date. No failure here touches payments; the next run catches up.

    Args:
        source: The database of the events.
        store: The database of the payment records.
        own_url: The URL of the store's database if it has one of its own, which may have been away when the others
            were brought to this version's schema.
    """

    def __init__(self, source: db.Database, store: db.Database, *, clock: Clock, own_url: str | None = None) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._unmigrated = own_url
        self._not_before: datetime | None = None

    async def run_once(self) -> int:
        """Apply new events and return their number. Does nothing for a while after a failure."""
        if self._not_before is not None and timedelta(0) < self._not_before - self._clock.now() <= _PAUSE:
            return 0
        self._not_before = None
        try:
            if self._unmigrated is not None:
                await asyncio.to_thread(db.migrate, self._unmigrated, packages=SCHEMA_PACKAGES)
                self._unmigrated = None
            applied = await project_events(self._source, self._store, now=self._clock.now())
        except Exception:
            _UP.set(0)
            self._not_before = self._clock.now() + _PAUSE
            raise
        _UP.set(1)
        return applied
