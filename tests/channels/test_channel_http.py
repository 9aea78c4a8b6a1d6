"""The way out is bounded in time and size, and says whether anything can have arrived."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from hutong.channels import ChannelUnreachable, Http
from hutong.channels.http import BODY_LIMIT

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(answer: bytes, *, then: Serve | None = None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads one request's head, writes `answer` and closes."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            if then is not None:
                await then(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        server.close()


@pytest.fixture
async def hasty() -> AsyncIterator[Http]:
    async with Http.open(connect_timeout_s=0.2, total_timeout_s=0.2) as opened:
        yield opened


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_an_answer_comes_as_it_was_sent(http: Http) -> None:
    async with served(answer(b"\xff\x00{}", b"X-Name: Value")) as (url, heads):
        reply = await http.call("GET", f"{url}/a%2Fb?x=%41&y=+", headers={"Accept": "application/json"})
    assert (reply.status, reply.body, reply.headers["x-name"]) == (200, b"\xff\x00{}", "Value")
    assert heads[0].startswith(b"GET /a%2Fb?x=%41&y=+ HTTP/1.1\r\n")


async def test_a_redirect_is_not_followed(http: Http) -> None:
    async with served(answer(b"", b"Location: http://127.0.0.1:1/", status=b"302 Found")) as (url, _):
        assert (await http.call("POST", url, headers={}, body=b"x")).status == 302


async def test_a_packed_answer_stays_packed(http: Http) -> None:
    async with served(answer(b"\x1f\x8bxx", b"Content-Encoding: gzip")) as (url, _):
        assert (await http.call("GET", url, headers={})).body == b"\x1f\x8bxx"


async def test_a_cookie_does_not_come_back(http: Http) -> None:
    async with served(answer(b"", b"Set-Cookie: a=b")) as (url, heads):
        await http.call("GET", url, headers={})
        await http.call("GET", url, headers={})
    assert b"Cookie" not in heads[1]


async def test_an_answer_of_the_longest_length_is_read(http: Http) -> None:
    async with served(answer(b"x" * BODY_LIMIT)) as (url, _):
        assert len((await http.call("GET", url, headers={})).body) == BODY_LIMIT


@pytest.mark.parametrize(
    "sent",
    [
        answer(b"x" * (BODY_LIMIT + 1)),
        answer(b"short").replace(b"Content-Length: 5", b"Content-Length: 50"),
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"not http\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        answer(b"", b"X: " + b"y" * 100_000),
        answer(b"", *(b"X-%d: y" % number for number in range(1_000))),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 100_000,
    ],
    ids=["too long", "cut off", "nothing", "half a head", "not HTTP", "bad status", "long header", "many", "trailers"],
)
async def test_what_is_no_answer_may_have_been_sent(http: Http, sent: bytes) -> None:
    async with served(sent) as (url, _):
        with pytest.raises(ChannelUnreachable) as caught:
            await http.call("POST", url, headers={}, body=b"{}")
    assert caught.value.sent


async def test_a_request_without_an_answer_may_have_arrived(hasty: Http) -> None:
    async def wait(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with served(b"", then=wait) as (url, _):
        with pytest.raises(ChannelUnreachable) as caught:
            await hasty.call("POST", url, headers={}, body=b"{}")
    assert caught.value.sent


async def test_a_slow_trickle_does_not_hold_the_call(hasty: Http) -> None:
    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with served(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", then=trickle) as (url, _):
        with pytest.raises(ChannelUnreachable) as caught:
            await hasty.call("POST", url, headers={}, body=b"{}")
    assert caught.value.sent


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://name.invalid"])
async def test_without_a_connection_nothing_was_sent(http: Http, url: str) -> None:
    with pytest.raises(ChannelUnreachable) as caught:
        await http.call("POST", url, headers={}, body=b"{}")
    assert not caught.value.sent


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_download_is_in_its_file_whole(http: Http, tmp_path: Path) -> None:
    body = secrets.token_bytes(3 << 20)
    async with served(answer(body, b"X-Name: Value")) as (url, _):
        reply = await http.download("GET", url, headers={}, into=tmp_path / "bill", limit=len(body))
    assert (reply.status, reply.body, reply.headers["x-name"]) == (200, b"", "Value")
    assert (tmp_path / "bill").read_bytes() == body


@pytest.mark.parametrize("limit", [99, 100])
async def test_a_download_that_is_too_long_leaves_no_file(http: Http, tmp_path: Path, limit: int) -> None:
    async with served(answer(b"x" * 100)) as (url, _):
        if limit == 100:
            await http.download("GET", url, headers={}, into=tmp_path / "bill", limit=limit)
        else:
            with pytest.raises(ChannelUnreachable, match="longer than the limit"):
                await http.download("GET", url, headers={}, into=tmp_path / "bill", limit=limit)
    assert files(tmp_path) == (["bill"] if limit == 100 else [])


async def test_a_download_that_breaks_off_leaves_no_file(http: Http, tmp_path: Path) -> None:
    async with served(answer(b"x" * 100)[:-1]) as (url, _):
        with pytest.raises(ChannelUnreachable):
            await http.download("GET", url, headers={}, into=tmp_path / "bill", limit=1000)
    assert files(tmp_path) == []


async def test_a_refused_download_brings_the_text_of_the_refusal(http: Http, tmp_path: Path) -> None:
    async with served(answer(b"no", status=b"404 Not Found")) as (url, _):
        reply = await http.download("GET", url, headers={}, into=tmp_path / "bill", limit=1000)
    assert (reply.status, reply.body) == (404, b"no")
    assert files(tmp_path) == []


async def test_calls_of_one_account_that_hang_cost_another_account_no_call() -> None:
    released, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await released.wait()

    async with (
        Http.open(connect_timeout_s=5, total_timeout_s=60, connections=8) as http,
        served(b"", then=hang) as (silent, heads),
        served(answer(b"{}")) as (lively, _),
    ):
        first, second = (http.for_account(UUID(int=n)) for n in (1, 2))
        assert http.for_account(UUID(int=1)) is first
        hanging = [asyncio.create_task(first.call("GET", silent, headers={})) for _ in range(30)]
        for _ in range(8):
            await arrived.acquire()
        assert (await second.call("GET", lively, headers={})).status == 200
        assert len(heads) == 8, "one account has so many connections and no more"
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        released.set()
