"""A merchant's server may answer as it likes: it is not followed, not waited for and not read for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from aiohttp import web

from hutong.events.webhooks.client import ANSWER_MAX, Webhook, WebhookClient, WebhookResponse
from hutong.events.webhooks.endpoints import secret_context
from hutong.vault import Vault
from support.fixtures.webhooks import Receiver

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def send(vault: Vault, url: str) -> WebhookResponse:
    endpoint_id = uuid4()
    sealed = vault.seal(b"whsec_" + b"A" * 44, context=secret_context(endpoint_id))
    async with WebhookClient(vault, allow_private=True) as sender:
        return await sender.send(Webhook(uuid4(), "payment.succeeded", 1, "{}", NOW, endpoint_id, url, sealed), now=NOW)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(vault: Vault, receiver: Receiver, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": f"{receiver.url}/inside"})

    receiver.answers["/hook"] = answer
    outcome = await send(vault, f"{receiver.url}/hook")
    assert (outcome.status, outcome.error, outcome.succeeded) == (status, "status", False)
    assert [path for path, _, _ in receiver.requests] == ["/hook"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_a_success(vault: Vault, receiver: Receiver, status: int) -> None:
    receiver.fail(status=status)
    outcome = await send(vault, f"{receiver.url}/hook")
    assert (outcome.status, outcome.error, outcome.succeeded) == (status, None, True)


@pytest.mark.parametrize("status", [304, 400, 401, 404, 410, 429, 500, 503])
async def test_anything_else_is_a_failure(vault: Vault, receiver: Receiver, status: int) -> None:
    receiver.fail(status=status)
    outcome = await send(vault, f"{receiver.url}/hook")
    assert (outcome.status, outcome.error, outcome.succeeded) == (status, "status", False)


async def test_an_endless_answer_is_cut_off_and_still_a_success(vault: Vault, receiver: Receiver) -> None:
    written = 0
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
                written += 65_536
        finally:
            ended.set()

    receiver.answers["/hook"] = answer
    outcome = await send(vault, f"{receiver.url}/hook")
    assert outcome.succeeded
    await asyncio.wait_for(ended.wait(), 120)
    assert written < 500 * ANSWER_MAX


async def test_a_server_that_does_not_answer_is_left(
    vault: Vault, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hutong.events.webhooks.client.TIMEOUT_S", 0.05)
    receiver.hang("/hook")
    outcome = await send(vault, f"{receiver.url}/hook")
    assert (outcome.status, outcome.error) == (None, "timeout")


async def test_an_answer_that_drips_is_left_and_its_status_counts(
    vault: Vault, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hutong.events.webhooks.client.TIMEOUT_S", 0.2)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.01)

    receiver.answers["/hook"] = answer
    assert (await send(vault, f"{receiver.url}/hook")).succeeded


RAW: list[bytes] = [
    b"",
    b"\r\n\r\n",
    b"SSH-2.0-OpenSSH_9\r\n",
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 200\x00 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    b"HTTP/1.1 500 \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
]


@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
async def test_what_is_not_http_is_a_failure(vault: Vault, raw: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    outcome = await _with_server(serve, lambda url: send(vault, url))
    assert not outcome.succeeded
    assert outcome.error in {"protocol_error", "status"}


async def test_a_closed_port_is_a_failure(vault: Vault) -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert (await send(vault, f"http://127.0.0.1:{port}/")).error == "connection_failed"


async def test_a_certificate_that_proves_nothing_is_a_failure(vault: Vault, receiver: Receiver) -> None:
    outcome = await send(vault, receiver.url.replace("http:", "https:") + "/hook")
    assert (outcome.status, outcome.error) == (None, "tls_failed")
    assert receiver.requests == []


async def _with_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    call: Callable[[str], Awaitable[WebhookResponse]],
) -> WebhookResponse:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await call(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
