"""The connection behind which a server's own protocol stands, and how servers are put behind it."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import prometheus_client
from aiohttp import web

from hutong.front_door.reader import Reader, Refusal

HEAD_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 30.0

_DISCARD_S = 1.0
_DISCARD_BYTES = 256 * 1024
_REFUSED = prometheus_client.Counter(
    "hutong_connections_refused_total", "Connections that the front door ended, by reason.", ["reason"]
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one server.

    Attributes:
        connections_per_address: Connections that one address may hold open to one process.
        idle_timeout_s: How long a connection stays open between requests.
        head_timeout_s: From the first moment of a connection, or the first byte of a request, to the end of its head.
        body_timeout_s: From the end of the head to the end of the body.
    """

    connections_per_address: int = 1024
    idle_timeout_s: int = 75
    head_timeout_s: float = HEAD_TIMEOUT_S
    body_timeout_s: float = BODY_TIMEOUT_S


class FrontDoor:
    """Makes the protocol of each connection of one server; counts connections by address."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count a connection; False if its address holds too many already."""
        if self._open[address] >= self.bounds.connections_per_address:
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """End the count of a connection."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def guard(self, server: asyncio.Protocol) -> asyncio.Protocol:
        """Put the front door before the protocol of one connection."""
        return _Connection(self, server)


class _Connection(asyncio.Protocol):
    def __init__(self, door: FrontDoor, server: asyncio.Protocol) -> None:
        self._door = door
        self._server = server
        self._reader = Reader()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._timed: str | None = None
        self._address: str | None = None
        self._refused: int | None = None
        self._is_scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else "local"
        if not self._door.enter(address):
            _REFUSED.labels("too_many_connections").inc()
            self._transport.abort()
            return
        if address != "local":  # asyncio leaves this out for sockets made by `socket.create_server`
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = address
        self._set_timer("head")
        self._server.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._address is None:
            return
        if self._refused is not None:
            self._refused += len(data)
            if self._refused > _DISCARD_BYTES:
                self._transport.abort()
            return
        try:
            self._reader.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if not self._is_scheduled:
            self._pass_on()

    def _pass_on(self) -> None:
        """Pass on one request; a further one that has arrived has to wait its turn behind other connections."""
        self._is_scheduled = False
        if self._refused is not None or self._transport.is_closing():
            return
        before = self._reader.waits_for
        try:
            ready = self._reader.take()
        except Refusal as refusal:
            self._refuse(refusal, is_answering=before == "body")
            return
        self._set_timer(self._reader.waits_for)
        if ready:
            self._server.data_received(ready)
            if self._reader.has_more and not self._transport.is_closing():
                self._is_scheduled = True
                asyncio.get_running_loop().call_soon(self._pass_on)

    def eof_received(self) -> bool | None:
        return None if self._address is None else self._server.eof_received()

    def pause_writing(self) -> None:
        self._server.pause_writing()

    def resume_writing(self) -> None:
        self._server.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self._set_timer(None)
            self._door.leave(self._address)
            self._server.connection_lost(exc)

    def _set_timer(self, part: str | None) -> None:
        """Bound the time of this part of a request; the timer of a part that goes on keeps its end."""
        if part == self._timed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timed, self._timer = part, None
        if part is not None:
            bounds = self._door.bounds
            seconds = bounds.head_timeout_s if part == "head" else bounds.body_timeout_s
            self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out, part)

    def _time_out(self, part: str) -> None:
        self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, f"{part}_timeout"), is_answering=part == "body")

    def _refuse(self, refusal: Refusal, *, is_answering: bool = False) -> None:
        """Answer and close; only close where the server may already be answering this request."""
        _REFUSED.labels(refusal.reason).inc()
        self._refused = 0
        self._set_timer(None)
        if self._transport.is_closing():
            return
        if is_answering:
            self._transport.close()
            return
        body = b"%d %b\n" % (refusal.status, refusal.status.phrase.encode())
        self._transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"cache-control: no-store\r\nconnection: close\r\n\r\n%b"
            % (refusal.status, refusal.status.phrase.encode(), len(body), body)
        )
        # A socket that is closed with unread bytes is reset, and the client might never see the answer.
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(_DISCARD_S, self._transport.close)


def uvicorn_options(bounds: Bounds) -> dict[str, Any]:
    """Return the options of a uvicorn server that put the front door before it."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    door = FrontDoor(bounds)

    def make_protocol(*arguments: Any, **named: Any) -> asyncio.Protocol:
        return door.guard(HttpToolsProtocol(*arguments, **named))

    return {"http": make_protocol, "ws": "none", "timeout_keep_alive": bounds.idle_timeout_s}


@asynccontextmanager
async def serve(app: web.Application, listener: socket.socket, bounds: Bounds) -> AsyncIterator[None]:
    """Serve an aiohttp application on a listening socket, behind the front door, until the block ends."""
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=bounds.idle_timeout_s)
    await runner.setup()
    door, make_protocol = FrontDoor(bounds), cast("Callable[[], asyncio.Protocol]", runner.server)
    try:
        server = await asyncio.get_running_loop().create_server(lambda: door.guard(make_protocol()), sock=listener)
        try:
            yield
        finally:
            server.close()
    finally:
        assert runner.server is not None
        await runner.server.shutdown(1.0)
        await runner.cleanup()
