"""A TCP proxy before a server whose link can be delayed, cut, made a black hole in each direction, or answer itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit


class FaultyLink:
    """The link to the server of a URL. What it has swallowed is lost: its connections stay silent after it heals.

    Attributes:
        delay_s: How long each piece waits before it is passed on.
        cut_after: After how many bytes from the server a new connection breaks; None: it does not.
        answer: What is answered to each piece of a new connection, in the server's place; None: the server answers.
    """

    def __init__(self, url: str) -> None:
        self.move(url)
        self._parts = urlsplit(url)
        self._connections: set[_Connection] = set()
        self.swallows_up = self.swallows_down = False
        self.delay_s = 0.0
        self.cut_after: int | None = None
        self.answer: bytes | None = None

    async def __aenter__(self) -> FaultyLink:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    @property
    def url(self) -> str:
        """The server's URL by way of this link."""
        port = self._server.sockets[0].getsockname()[1]
        login, at, _ = self._parts.netloc.rpartition("@")
        query = urlencode({k: v[0] for k, v in parse_qs(self._parts.query).items() if k not in ("host", "port")})
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}127.0.0.1:{port}", query=query))

    def swallow(self, *, up: bool = True, down: bool = True) -> None:
        """Make a black hole of the direction to the server, of that from it, or of both."""
        self.swallows_up, self.swallows_down = up, down
        for connection in self._connections:
            connection.is_up_dead |= up
            connection.is_down_dead |= down

    def heal(self) -> None:
        """Let new connections work."""
        self.swallows_up = self.swallows_down = False
        self.delay_s, self.cut_after, self.answer = 0.0, None, None

    def move(self, url: str) -> None:
        """Lead new connections to another server."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self._folder = query.get("host", [None])[0]
        self._host, self._port = parts.hostname or "localhost", int(query.get("port", [parts.port or 5432])[0])

    def cut(self) -> None:
        """Break all connections at once."""
        for connection in list(self._connections):
            connection.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._folder is not None:
                up, down = await asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.{self._port}")
            else:
                up, down = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        connection = _Connection(self, writer, down)
        self._connections.add(connection)
        with suppress(asyncio.CancelledError):  # a stream's server logs a handler that was cancelled
            await asyncio.gather(connection.pass_up(reader), connection.pass_down(up))
        self._connections.discard(connection)


class _Connection:
    def __init__(self, link: FaultyLink, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._link, self._client, self._server = link, client, server
        self.is_up_dead, self.is_down_dead = link.swallows_up, link.swallows_down
        self._left, self._answer = link.cut_after, link.answer

    def cut(self) -> None:
        for writer in (self._client, self._server):
            writer.transport.abort()

    async def pass_up(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                await asyncio.sleep(self._link.delay_s)
                if self._answer is not None:
                    self._client.write(self._answer)
                    self._client.close()
                    break
                if not self.is_up_dead:
                    self._server.write(piece)
                    await self._server.drain()
        self._server.close()

    async def pass_down(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                await asyncio.sleep(self._link.delay_s)
                if self._left is not None:
                    piece, self._left = piece[: self._left], self._left - len(piece[: self._left])
                if not self.is_down_dead:
                    self._client.write(piece)
                    await self._client.drain()
                if self._left == 0:
                    self.cut()
                    break
        self._client.close()
