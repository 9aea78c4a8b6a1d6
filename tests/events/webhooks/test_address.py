"""No webhook reaches an address that is not public, however the address is written or found."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.errors import InvalidParameter
from hutong.events.webhooks.address_guard import AddressRefused, check_url, guarded_socket, is_public
from hutong.events.webhooks.client import Webhook, WebhookClient, WebhookResponse
from hutong.events.webhooks.endpoints import secret_context
from hutong.vault import Vault
from support.addresses import NOT_PUBLIC, PUBLIC, URLS, Wire

NOW = datetime(2026, 1, 1, tzinfo=UTC)


VAULT = Vault([b"k" * 32])


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_becomes_public_by_being_mapped_or_translated(address: object) -> None:
    number = int(address)  # type: ignore[call-overload]
    for prefix in (0, 0xFFFF << 32, 0xFFFF << 48, 0x64FF9B << 96, 0x64FF9B0001 << 80):
        assert not is_public(str(socket.inet_ntop(socket.AF_INET6, (prefix | number).to_bytes(16, "big"))))
    for prefix in (0x2002 << 112 | number << 80 | 1, 0x20010000 << 96 | number ^ 0xFFFFFFFF):
        assert not is_public(str(socket.inet_ntop(socket.AF_INET6, prefix.to_bytes(16, "big"))))


@pytest.mark.parametrize("url", [*URLS, "https://merchant.example/a b", "https://merchant.example/\n", "x" * 3000])
def test_a_url_that_may_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_url(url, allow_private=False)
    assert caught.value.param == "url"


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_url_with_an_address_that_is_not_public_is_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidParameter):
        check_url(f"https://{host}/hook", allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://merchant.example/hook?shop=1",
        "https://merchant.example",
        "https://merchant.example:8443/hook",
        "https://xn--mrchant-6wa.example/",
        "https://8.8.8.8/hook",
        "https://[2606:4700:4700::1111]/hook",
        "https://3.merchant.example/",
        "https://MERCHANT.example/",
    ],
)
def test_a_plain_public_url_is_allowed(url: str) -> None:
    assert check_url(url, allow_private=False).scheme == "https"


def test_the_sandbox_allows_http_and_private_hosts_but_no_user() -> None:
    assert check_url("http://127.0.0.1:9000/hook", allow_private=True).port == 9000
    with pytest.raises(InvalidParameter):
        check_url("http://user@127.0.0.1:9000/hook", allow_private=True)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_socket_is_made_for_an_address_that_is_not_public(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(AddressRefused):
        guarded_socket((family, socket.SOCK_STREAM, 0, "", (address, 443)))


@pytest.fixture
async def sender() -> AsyncIterator[WebhookClient]:
    async with WebhookClient(VAULT, allow_private=False) as sender:
        yield sender


def message(url: str) -> Webhook:
    endpoint_id = uuid4()
    sealed = VAULT.seal(b"whsec_" + b"A" * 44, context=secret_context(endpoint_id))
    return Webhook(uuid4(), "payment.succeeded", 1, "{}", NOW, endpoint_id, url, sealed)


async def send(sender: WebhookClient, url: str) -> WebhookResponse:
    return replace(await sender.send(message(url), now=NOW), duration_ms=0)


async def test_nothing_leaves_for_a_url_that_was_stored_before_the_rules(
    sender: WebhookClient, wire: Wire, names: dict[str, list[list[str]]]
) -> None:
    names["merchant.example"] = [["8.8.8.8"]]
    literals = [f"https://[{address}]/" if ":" in address else f"https://{address}/" for address in NOT_PUBLIC]
    for url in [*URLS, *literals]:
        assert await send(sender, url) == WebhookResponse(None, "url_refused", 0), url
    assert wire.attempts == []


@pytest.mark.parametrize("port", [443, 8443])
async def test_nothing_leaves_for_a_name_that_leads_inside(
    sender: WebhookClient, wire: Wire, names: dict[str, list[list[str]]], port: int
) -> None:
    for index, address in enumerate(NOT_PUBLIC):
        names[f"m{index}.example"] = [[address]]
        names[f"first{index}.example"] = [["8.8.8.8", address]]
        names[f"last{index}.example"] = [[address, "2606:4700:4700::1111"]]
        for kind in ("m", "first", "last", "absent"):
            outcome = await send(sender, f"https://{kind}{index}.example:{port}/hook")
            assert outcome == WebhookResponse(None, "address_refused", 0), address
    assert wire.attempts == []


async def test_the_connection_goes_to_the_address_that_was_checked(
    sender: WebhookClient, wire: Wire, names: dict[str, list[list[str]]]
) -> None:
    names["merchant.example"] = [["8.8.8.8"], ["127.0.0.1"]]  # rebound as soon as it has been looked up
    assert await send(sender, "https://merchant.example/hook") == WebhookResponse(None, "connection_failed", 0)
    assert wire.attempts == ["8.8.8.8"]


async def test_a_name_that_is_rebound_is_refused_when_it_is_looked_up_again(
    wire: Wire, names: dict[str, list[list[str]]]
) -> None:
    names["merchant.example"] = [["8.8.8.8"], ["127.0.0.1"]]
    for expected in ("connection_failed", "address_refused"):
        async with WebhookClient(VAULT, allow_private=False) as sender:
            assert await send(sender, "https://merchant.example/hook") == WebhookResponse(None, expected, 0)
    assert wire.attempts == ["8.8.8.8"]


async def test_the_socket_is_the_last_guard_when_the_resolver_errs(
    sender: WebhookClient, wire: Wire, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["merchant.example"] = [["127.0.0.1"]]
    monkeypatch.setattr("hutong.events.webhooks.address_guard.GuardedResolver.resolve", _blind)
    assert await send(sender, "https://merchant.example/hook") == WebhookResponse(None, "address_refused", 0)
    assert wire.attempts == []


async def _blind(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
    await asyncio.sleep(0)
    answer = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
    return [answer]


async def test_without_the_guard_the_same_name_is_called(wire: Wire, names: dict[str, list[list[str]]]) -> None:
    names["merchant.example"] = [["127.0.0.1"]]
    async with WebhookClient(VAULT, allow_private=True) as sender:
        assert await send(sender, "https://merchant.example/hook") == WebhookResponse(None, "connection_failed", 0)
    assert wire.attempts == ["127.0.0.1"]


async def test_proxies_of_the_environment_are_not_used(
    sender: WebhookClient, wire: Wire, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    names["merchant.example"] = [["8.8.8.8"]]
    await send(sender, "https://merchant.example/hook")
    assert wire.attempts == ["8.8.8.8"]
