"""A TCP proxy that goes on taking what a client sends while it swallows what the server says."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class LossyProxy:
    def __init__(self, port: int) -> None:
        self._target = port
        self.swallows = False
        self.port = 0

    async def __aenter__(self) -> LossyProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up, down = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        with suppress(asyncio.CancelledError):  # a stream's server logs a handler that was cancelled
            await asyncio.gather(self._pump(reader, down, lossy=False), self._pump(up, writer, lossy=True))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, lossy: bool) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                if lossy and self.swallows:
                    continue
                writer.write(piece)
                await writer.drain()
        with suppress(OSError):
            writer.close()
