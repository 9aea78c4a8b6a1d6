"""Attacks by raw sockets: each is answered or ended, and no server sees a request that has two readings."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from front_door.conftest import Serve, exchange
from hutong.front_door import Bounds
from hutong.front_door.reader import CHUNKS_MAX, FIELDS_MAX, HEAD_BYTES_MAX, Reader, Refusal

CLOSE = b"Connection: close\r\n"
QUICK = Bounds(head_timeout_s=0.3, body_timeout_s=0.3)


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /x HTTP/1.1\r\nHost: a\r\n" + b"".join(field + b"\r\n" for field in fields) + CLOSE + b"\r\n" + body


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (b"431", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * HEAD_BYTES_MAX),
        (b"431", b"GET /" + b"a" * HEAD_BYTES_MAX + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"431", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * FIELDS_MAX + b"\r\n"),
        (b"400", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (b"400", b"GET / HTTP/1.1\r\n\r\n"),
        (b"400", post(b"Content-Length: 1", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
        (b"400", post(b"Content-Length: 1", b"Content-Length: 1", body=b"a")),
        (b"400", post(b"Content-Length: +1", body=b"a")),
        (b"400", post(b"Content-Length: 1, 1", body=b"a")),
        (b"400", post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
        (b"400", post(b"Transfer-Encoding: identity")),
        (b"400", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (b"400", post(b"Content-Length : 1", body=b"a")),
        (b"400", post(b"X: a\r\n folded")),
        (b"400", post(b"X: a\nY: b")),
        (b"400", post(b"X: a\x00")),
        (b"400", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"400", b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"400", b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"400", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ],
)
async def test_a_head_with_two_readings_or_no_end_is_refused(serve: Serve, status: bytes, sent: bytes) -> None:
    async with serve(Bounds()) as port:
        assert (await exchange(port, sent)).startswith(b"HTTP/1.1 " + status)


async def test_what_is_well_formed_arrives(serve: Serve) -> None:
    async with serve(Bounds()) as port:
        answer = await exchange(port, post(b"X-Y: 1", b"Content-Length: 5", body=b"hello"))
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\nhello")
        assert b"\nx-y: 1\n" in answer


async def test_fields_after_the_body_are_no_headers(serve: Serve) -> None:
    body = b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nIdempotency-Key: smuggled\r\nAuthorization: x\r\n\r\n"
    async with serve(Bounds()) as port:
        answer = await exchange(port, post(b"Transfer-Encoding: chunked", body=body))
        assert answer.endswith(b"\nabcde")
        assert b"smuggled" not in answer
        assert b"authorization" not in answer.lower()


@pytest.mark.parametrize(
    "body",
    [b"x\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"-1\r\n", b"fffffffff\r\n", b"1" * 300, b"0\r\n" + b"X: a\r\n" * 3000,
     b"0\r\nnofield\r\n\r\n", b"3\nabc\r\n0\r\n\r\n", b"1\r\na\r\n" * (CHUNKS_MAX + 1)],
)  # fmt: skip
async def test_a_chunked_body_that_is_not_one_ends_the_connection(serve: Serve, body: bytes) -> None:
    async with serve(Bounds()) as port:
        started = time.monotonic()
        answer = await exchange(port, post(b"Transfer-Encoding: chunked", body=body))
        assert not answer.startswith(b"HTTP/1.1 200")
        assert time.monotonic() - started < 2.5  # it was ended; the client has not given up


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    one = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serve(Bounds()) as port:
        sent = b"".join(one % number for number in range(50)) + b"GET /last HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"
        answer = await exchange(port, sent)
        places = [answer.index(b"\n/%d\n" % number) for number in range(50)]
        assert places == sorted(places)
        assert answer.count(b"HTTP/1.1 200") == 51


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n"])
async def test_a_head_that_does_not_come_is_not_awaited(serve: Serve, sent: bytes) -> None:
    async with serve(QUICK) as port:
        started = time.monotonic()
        answer = await exchange(port, sent)
        assert answer.startswith(b"HTTP/1.1 408")
        assert 0.25 < time.monotonic() - started < 2.5


async def test_single_bytes_do_not_prolong_a_head(serve: Serve) -> None:
    async with serve(QUICK) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)
        assert time.monotonic() - started < 4
        writer.close()


@pytest.mark.parametrize("field", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_not_awaited(serve: Serve, field: bytes) -> None:
    async with serve(QUICK) as port:
        started = time.monotonic()
        answer = await exchange(port, post(field, body=b"1\r\na"))
        assert b"200" not in answer
        assert time.monotonic() - started < 2.5


async def test_an_idle_connection_stays_open_for_its_time(serve: Serve) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serve(Bounds(head_timeout_s=0.2, idle_timeout_s=1)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.5)  # longer than a head may take, shorter than an idle connection may last
        writer.write(request)
        assert b"HTTP/1.1 200" in await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(reader.read(), 4)  # the server closes it in the end
        writer.close()


async def test_one_address_holds_so_many_connections_and_no_more(serve: Serve) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"
    async with serve(Bounds(connections_per_address=3)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert await exchange(port, request) == b""
        held.pop()[1].close()
        await asyncio.sleep(0.05)
        assert (await exchange(port, request)).startswith(b"HTTP/1.1 200")
        for _, writer in held:
            writer.close()


async def _slowest(port: int, count: int) -> float:
    """Return the 99th percentile of a normal client's times."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    for _ in range(count):
        started = time.perf_counter()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - started)
    writer.close()
    return sorted(times)[count * 99 // 100]


async def test_a_normal_client_does_not_feel_hundreds_of_idle_connections(serve: Serve) -> None:
    async with serve(Bounds()) as port:
        await _slowest(port, 200)
        alone = await _slowest(port, 400)
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        for _, writer in held[::2]:
            writer.write(b"GET / HTTP/1.1\r\nX: a")
        among = await _slowest(port, 400)
        for _, writer in held:
            writer.close()
        assert among <= max(2 * alone, 0.02)


@given(
    bodies=st.lists(st.one_of(st.binary(max_size=40), st.lists(st.binary(min_size=1, max_size=9))), max_size=4),
    cuts=st.lists(st.integers(1, 30), min_size=1),
)
def test_however_a_stream_is_cut_it_has_one_reading(bodies: list[bytes | list[bytes]], cuts: list[int]) -> None:
    stream, expected = b"", b""
    for body in bodies:
        if isinstance(body, bytes):
            request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            stream, expected = stream + request, expected + body
        else:
            chunks = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in body)
            head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            stream, expected = stream + head + chunks + b"0\r\nX: y\r\n\r\n", expected + b"".join(body)
    reader, passed, at, turn = Reader(), b"", 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
        while piece := reader.take():
            passed += piece
    assert reader.waits_for is None
    assert _bodies(passed) == expected
    assert b"X: y" not in passed.split(expected or b"\0")[-1]


def _bodies(passed: bytes) -> bytes:
    """Read what a server would, by a second reader that trusts the framing."""
    found = b""
    while passed:
        head, _, passed = passed.partition(b"\r\n\r\n")
        if b"chunked" not in head:
            length = int(head.rpartition(b": ")[2])
            found, passed = found + passed[:length], passed[length:]
            continue
        while True:
            size, _, passed = passed.partition(b"\r\n")
            found, passed = found + passed[: int(size, 16)], passed[int(size, 16) + 2 :]
            if int(size, 16) == 0:
                break
    return found


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_wait(data: bytes) -> None:
    reader = Reader()
    passed = b""
    with contextlib.suppress(Refusal):
        reader.feed(data)
        while piece := reader.take():
            passed += piece
    assert len(passed) <= len(data)
