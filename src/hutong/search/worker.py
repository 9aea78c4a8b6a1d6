"""What the worker does for bills, again and again."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from prometheus_client import Gauge

from hutong import db
from hutong.clock import Clock
from hutong.search.projector import follow

FOLLOW_EVERY_S = 0.5
"""How often to look for what is new."""

SCHEMAS = ("db", "query")
"""Whose migrations a database of its own needs."""

_PAUSE = timedelta(seconds=5)
"""How long to leave a store alone that was away."""

_UP = Gauge("hutong_query_up", "Whether bills were brought up to date when last tried: 1 or 0.")


class ProjectionWorker:
    """Brings bills up to date. Whatever goes wrong here, payments go on; the next round catches up.

    Args:
        source: Where the events are.
        store: Where the bills are.
        own_url: Of the store's database, if it has one of its own, which may have been away when the others were
            brought to this version's schema.
    """

    def __init__(self, source: db.Database, store: db.Database, *, clock: Clock, own_url: str | None = None) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._unmigrated = own_url
        self._not_before: datetime | None = None

    async def follow(self) -> int:
        """One round; returns how many events were applied. For a while after one that failed it does nothing."""
        if self._not_before is not None and self._clock.now() < self._not_before:
            return 0
        self._not_before = None
        try:
            if self._unmigrated is not None:
                await asyncio.to_thread(db.migrate, self._unmigrated, rooms=SCHEMAS)
                self._unmigrated = None
            done = await follow(self._source, self._store, now=self._clock.now())
        except Exception:
            _UP.set(0)
            self._not_before = self._clock.now() + _PAUSE
            raise
        _UP.set(1)
        return done
