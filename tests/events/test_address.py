"""No webhook reaches an address that is not public, however the address is written or found."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.errors import InvalidParameter
from hutong.events.address import AddressRefused, check_url, guarded_socket, is_public
from hutong.events.endpoint import secret_context
from hutong.events.sender import Message, Outcome, Sender
from hutong.vault import Vault

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def words(text: str) -> list[str]:
    return text.split()


NOT_PUBLIC = words("""
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.0.0.53
    127.1.2.3 127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255
    192.0.0.1 192.0.0.170 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1 192.168.255.255
    192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1
    255.255.255.255 :: ::1 ::2 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1
    ::ffff:169.254.169.254 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::8.8.8.8
    64:ff9b:1::a00:1 64:ff9b:1:fffe::1 100::1 100:0:0:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1
    2001:3::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1 2002:a00:1::1 2002:808:808::1 2620:4f:8000::1 3ffe::1
    3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fd12:3456:789a::1 fe80::1 fe80::1%eth0 fe80::1%1 fec0::1 ff02::1
    ff0e::1 2a00:1450::5efe:10.0.0.1 2a00:1450:4001:82a:200:5efe:7f00:1 2606:4700::1%eth0
""")

PUBLIC = words("""
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 169.253.255.255
    172.15.255.255 172.32.0.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.5.5.5 223.255.255.254
    2400:3200::1 2606:4700:4700::1111 2a00:1450:4001:82a::200e 2001:4860:4860::8888 2001:200::1
""")

URLS = words("""
    http://merchant.example/ ftp://merchant.example/ file:///etc/passwd gopher://merchant.example/
    //merchant.example/ merchant.example javascript:alert(1) https:// https:/// https:///path https://:443/
    https://?q https://#f https://user@merchant.example/ https://user:secret@merchant.example/
    https://:secret@merchant.example/ https://@merchant.example/ https://merchant.example@127.0.0.1/
    https://127.0.0.1#@merchant.example/ https://merchant.example#fragment https://merchant.example:80/
    https://merchant.example:22/ https://merchant.example:8080/ https://merchant.example:5432/
    https://merchant.example:0/ https://merchant.example:65536/ https://merchant.example:-1/
    https://merchant.example:443:443/ https://localhost/ https://localhost./ https://LOCALHOST/ https://intranet/
    https://./ https://../ https://2130706433/ https://0x7f000001/ https://0x7f.0x0.0x0.0x1/ https://0177.0.0.1/
    https://017700000001/ https://127.1/ https://127.0.1/ https://127.0.0.1./ https://0/ https://00/ https://0x0/
    https://127.0.0.0x1/ https://127.0.0.01/ https://0000127.0.0.1/ https://8.8.8.8./ https://134744072/
    https://merchant.0x7f/ https://[::1]/ https://[::]/ https://[::ffff:127.0.0.1]/ https://[::ffff:7f00:1]/
    https://[64:ff9b::7f00:1]/ https://[2002:7f00:1::]/ https://[fe80::1%25eth0]/ https://[fe80::1%eth0]/
    https://[fd00:ec2::254]/ https://[2606:4700::1%25eth0]/ https://[::1 https://::1/ https://[127.0.0.1]/
    https://[merchant.example]/ https://merchant%2eexample@127.0.0.1/ https://merchant.example\\@127.0.0.1/
    https://127.0.0.1\\merchant.example/ https://merchant.exam\u200bple/ https://１２７.０.０.１/ https://①②⑦.⓪.⓪.①/
    https://mërchant.example/ https://127。0。0。1/ https://merchant.example/\x00 https://merchant.example/\x7f
""")

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


EPHEMERAL = 32_768


class Wire:
    """Every attempt of this process to connect a socket, refused before anything leaves.

    Ports that are handed out at random are left alone: other tests' servers have those.
    """

    def __init__(self) -> None:
        self.watching = False
        self.attempts: list[str] = []

    def hook(self, name: str, arguments: tuple[object, ...]) -> None:
        if self.watching and name == "socket.connect" and arguments[1][1] < EPHEMERAL:  # type: ignore[index]
            self.attempts.append(str(arguments[1][0]))  # type: ignore[index]
            raise ConnectionRefusedError("stopped by the test")


_wire = Wire()
sys.addaudithook(_wire.hook)  # there is no way to take a hook out again, so it is one that can be told to look away


@pytest.fixture
def wire() -> Iterator[Wire]:
    _wire.attempts, _wire.watching = [], True
    yield _wire
    _wire.watching = False


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """A name server: a host's answers, one list of addresses after the other, the last for ever."""
    table: dict[str, list[list[str]]] = {}

    def answer(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        answers = table.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return table


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(VAULT, allow_private=False) as sender:
        yield sender


def message(url: str) -> Message:
    endpoint_id = uuid4()
    sealed = VAULT.seal(b"whsec_" + b"A" * 44, context=secret_context(endpoint_id))
    return Message(uuid4(), "payment.succeeded", 1, "{}", NOW, endpoint_id, url, sealed)


async def send(sender: Sender, url: str) -> Outcome:
    return replace(await sender.send(message(url), now=NOW), duration_ms=0)


async def test_nothing_leaves_for_a_url_that_was_stored_before_the_rules(
    sender: Sender, wire: Wire, names: dict[str, list[list[str]]]
) -> None:
    names["merchant.example"] = [["8.8.8.8"]]
    literals = [f"https://[{address}]/" if ":" in address else f"https://{address}/" for address in NOT_PUBLIC]
    for url in [*URLS, *literals]:
        assert await send(sender, url) == Outcome(None, "url_refused", 0), url
    assert wire.attempts == []


@pytest.mark.parametrize("port", [443, 8443])
async def test_nothing_leaves_for_a_name_that_leads_inside(
    sender: Sender, wire: Wire, names: dict[str, list[list[str]]], port: int
) -> None:
    for index, address in enumerate(NOT_PUBLIC):
        names[f"m{index}.example"] = [[address]]
        names[f"first{index}.example"] = [["8.8.8.8", address]]
        names[f"last{index}.example"] = [[address, "2606:4700:4700::1111"]]
        for kind in ("m", "first", "last", "absent"):
            outcome = await send(sender, f"https://{kind}{index}.example:{port}/hook")
            assert outcome == Outcome(None, "address_refused", 0), address
    assert wire.attempts == []


async def test_the_connection_goes_to_the_address_that_was_checked(
    sender: Sender, wire: Wire, names: dict[str, list[list[str]]]
) -> None:
    names["merchant.example"] = [["8.8.8.8"], ["127.0.0.1"]]  # rebound as soon as it has been looked up
    assert await send(sender, "https://merchant.example/hook") == Outcome(None, "connection_failed", 0)
    assert wire.attempts == ["8.8.8.8"]


async def test_a_name_that_is_rebound_is_refused_when_it_is_looked_up_again(
    wire: Wire, names: dict[str, list[list[str]]]
) -> None:
    names["merchant.example"] = [["8.8.8.8"], ["127.0.0.1"]]
    for expected in ("connection_failed", "address_refused"):
        async with Sender(VAULT, allow_private=False) as sender:
            assert await send(sender, "https://merchant.example/hook") == Outcome(None, expected, 0)
    assert wire.attempts == ["8.8.8.8"]


async def test_the_socket_is_the_last_guard_when_the_resolver_errs(
    sender: Sender, wire: Wire, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["merchant.example"] = [["127.0.0.1"]]
    monkeypatch.setattr("hutong.events.address.GuardedResolver.resolve", _blind)
    assert await send(sender, "https://merchant.example/hook") == Outcome(None, "address_refused", 0)
    assert wire.attempts == []


async def _blind(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
    await asyncio.sleep(0)
    answer = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
    return [answer]


async def test_without_the_guard_the_same_name_is_called(wire: Wire, names: dict[str, list[list[str]]]) -> None:
    names["merchant.example"] = [["127.0.0.1"]]
    async with Sender(VAULT, allow_private=True) as sender:
        assert await send(sender, "https://merchant.example/hook") == Outcome(None, "connection_failed", 0)
    assert wire.attempts == ["127.0.0.1"]


async def test_proxies_of_the_environment_are_not_used(
    sender: Sender, wire: Wire, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    names["merchant.example"] = [["8.8.8.8"]]
    await send(sender, "https://merchant.example/hook")
    assert wire.attempts == ["8.8.8.8"]
