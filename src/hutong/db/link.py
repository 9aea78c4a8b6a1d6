"""The connection to the server: within seconds both ends notice that the other is gone without a farewell."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection

_IDLE_S = 3
_INTERVAL_S = 1
_COUNT = 3
_UNANSWERED_MS = 6000

SERVER_SETTINGS = {
    # A server that does not notice keeps the locks of a client that is gone.
    "tcp_keepalives_idle": str(_IDLE_S),
    "tcp_keepalives_interval": str(_INTERVAL_S),
    "tcp_keepalives_count": str(_COUNT),
    "tcp_user_timeout": str(_UNANSWERED_MS),
}
"""Settings of a session with which the server looks after its end."""

CLIENT_OPTIONS: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": _IDLE_S,
    "keepalives_interval": _INTERVAL_S,
    "keepalives_count": _COUNT,
    "tcp_user_timeout": _UNANSWERED_MS,
}
"""Parameters with which libpq looks after its end."""


class Link(_Base):
    """A connection of the pool.

    Attributes:
        opened_at: When it was opened, by the monotonic clock.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.opened_at = time.monotonic()
        self._keep_alive()

    def _keep_alive(self) -> None:
        end = self._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        if end is None or end.family not in (socket.AF_INET, socket.AF_INET6):
            return  # the kernel itself reports the end of a peer on the same machine
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", _IDLE_S),
            ("TCP_KEEPINTVL", _INTERVAL_S),
            ("TCP_KEEPCNT", _COUNT),
            ("TCP_USER_TIMEOUT", _UNANSWERED_MS),
        ):
            if hasattr(socket, option):  # not on every system
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
