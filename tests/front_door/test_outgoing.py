"""A hostile server ends no client of ours: whatever it answers, the call is over in its time and reads only so much."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from pydantic import SecretStr

from hutong.app import heads
from hutong.channels import ChannelUnreachable, Http
from hutong.clock import SystemClock
from hutong.errors import Unavailable
from hutong.events.webhooks import client as webhook_client
from hutong.events.webhooks.client import Webhook, WebhookClient
from hutong.events.webhooks.endpoints import secret_context
from hutong.outgoing import FIELDS_MAX, LINE_BYTES_MAX
from hutong.sandbox import notifier
from hutong.sandbox.notifier import Notifier
from support.platform import VAULT

LIMIT_S = 0.3
SECRET = "whsec_" + "A" * 44
BOMB = gzip.compress(bytes(512 << 10))
OK = b"HTTP/1.1 200 OK\r\n"


async def call(url: str, _: Path) -> int:
    async with Http.open(total_timeout_s=LIMIT_S) as http:
        return len((await http.call("POST", url, headers={}, body=b"{}")).body)


async def download(url: str, folder: Path) -> int:
    async with Http.open(total_timeout_s=LIMIT_S) as http:
        file = folder / "bill"
        await http.download("GET", url, headers={}, into=file, limit=1 << 20)
        return file.stat().st_size


async def webhook(url: str, _: Path) -> int:
    endpoint_id = uuid4()
    sealed = VAULT.seal(SECRET.encode(), context=secret_context(endpoint_id))
    message = Webhook(uuid4(), "payment.closed", 1, "{}", SystemClock().now(), endpoint_id, url, sealed)
    async with WebhookClient(VAULT, allow_private=True) as sender:
        await sender.send(message, now=SystemClock().now())
    return 0


async def head_of_the_books(url: str, _: Path) -> int:
    settings = SimpleNamespace(ledger_head_secret=SecretStr(SECRET), ledger_head_url=url)
    platform: Any = SimpleNamespace(settings=settings, clock=SystemClock())
    await heads._send(platform, SimpleNamespace(seq=1), "{}")  # type: ignore[arg-type]
    return 0


async def sandbox_notification(url: str, _: Path) -> int:
    sender = Notifier([0.0], lambda status, body: len(body) > 4096)
    try:
        assert not await sender._send(url, {}, b"{}")
    finally:
        await sender.close()
    return 0


CLIENTS = [call, download, webhook, head_of_the_books, sandbox_notification]


def repeated(first: bytes, piece: bytes, wait_s: float = 0.0) -> Callable[[], Iterator[tuple[bytes, float]]]:
    def pieces() -> Iterator[tuple[bytes, float]]:
        yield first, 0.0
        while True:
            yield piece, wait_s

    return pieces


ENDLESS = {
    "fields": repeated(OK, b"X: y\r\n" * 1_000),
    "line": repeated(OK + b"X: ", b"a" * 65_536),
    "status": repeated(b"HTTP/1.1 200 ", b"a" * 65_536),
    "body": repeated(OK + b"\r\n", b"a" * 65_536),
    "chunks": repeated(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"a" * 4096 + b"\r\n"),
    "size of a chunk": repeated(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65_536),
    "trailers": repeated(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1_000),
    "interim answers": repeated(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "slow head": repeated(OK, b"X", 0.02),
    "slow body": repeated(OK + b"Content-Length: 100000\r\n\r\n", b"x", 0.02),
    "bomb": lambda: iter([(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB, 0.0)]),
}


@asynccontextmanager
async def hostile(pieces: Callable[[], Iterator[tuple[bytes, float]]]) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that answers in pieces until it is left; and how many bytes were taken of it."""
    taken = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece, wait_s in pieces():
                writer.write(piece)
                await writer.drain()
                taken[0] += len(piece)
                await asyncio.sleep(wait_s)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", taken
    finally:
        server.close()


@pytest.mark.parametrize("attack", ENDLESS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
async def test_a_hostile_answer_ends_in_time_and_is_not_read_for_long(
    client: Callable[[str, Path], Awaitable[int]], attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_client, "TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr(heads, "_TIMEOUT", aiohttp.ClientTimeout(total=LIMIT_S))
    monkeypatch.setattr(notifier, "_ANSWER_WITHIN_S", LIMIT_S)
    monkeypatch.setattr("hutong.channels.http._DOWNLOAD_TIMEOUT_S", LIMIT_S)
    async with hostile(ENDLESS[attack]) as (url, taken):
        started = time.monotonic()
        try:
            length = await client(url, tmp_path)
        except (ChannelUnreachable, Unavailable):
            length = 0
        assert time.monotonic() - started < 10 * LIMIT_S
        assert length <= len(BOMB)
        if attack in ("fields", "line", "status", "body"):
            assert taken[0] < 16 << 20, "what the buffers of two sockets hold and the longest body"


@pytest.mark.parametrize("client", [call, head_of_the_books], ids=lambda client: client.__name__)
@pytest.mark.parametrize(
    ("head", "is_taken"),
    [
        (b"X: y\r\n" * (FIELDS_MAX - 2), True),
        (b"X: y\r\n" * (FIELDS_MAX + 1), False),
        (b"X: " + b"a" * (LINE_BYTES_MAX - 64) + b"\r\n", True),
        (b"X: " + b"a" * LINE_BYTES_MAX * 2 + b"\r\n", False),
    ],
    ids=["fields", "too many fields", "line", "too long a line"],
)
async def test_a_head_has_bounds(
    client: Callable[[str, Path], Awaitable[int]], head: bytes, is_taken: bool, tmp_path: Path
) -> None:
    async with hostile(lambda: iter([(OK + b"Content-Length: 0\r\n" + head + b"\r\n", 0.0)])) as (url, _):
        if is_taken:
            await client(url, tmp_path)
            return
        with pytest.raises((ChannelUnreachable, Unavailable)):
            await client(url, tmp_path)
