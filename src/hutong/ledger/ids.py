"""Ids for scripts and benchmarks: time-ordered 128-bit numbers."""

from __future__ import annotations

import secrets
import threading
import time

_lock = threading.Lock()
_last = 0


def id() -> int:  # noqa: A001 - the name the TigerBeetle client gives it
    """Return a new id: 48 bits of milliseconds since 1970, then 80 bits that are random and rise within a millisecond.

    For clients, scripts and benchmarks; domain code takes its ids from `hutong.ids`.
    """
    global _last  # noqa: PLW0603 - one rising row of ids per process
    fresh = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    with _lock:
        _last = fresh if fresh >> 80 > _last >> 80 else _last + 1
        return _last
