"""The guard that keeps webhooks out of our own network.

It checks the URL that the merchant gives, every address that its host resolves to, and the address of each socket just
before it is made. The last check decides; the others give the merchant an earlier answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from hutong.errors import InvalidParameter

PORTS = frozenset({443, 8443})
URL_LENGTH_MAX = 2048
_LOOKUPS = 64
_USER = re.compile(r"[^/?#]*//[^/?#]*@")

# Beyond the addresses that Python does not call global: ranges that some network translates to other addresses, and
# addresses that look public and answer inside a cloud.
_REFUSED_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # the host agent of Azure
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",
    )
)
_UNICAST_6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, ORCHID, benchmarking and the other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address
        "2620:4f:8000::/48",
        "3ffe::/16",
        "3fff::/20",
    )
)
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # these interface identifiers carry an IPv4 address


class AddressRefused(OSError):
    """A webhook may not be sent to the address."""


def is_public(text: str) -> bool:
    """Check that an IP address is global unicast, and stands for itself alone, not for another address behind it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_4)
    return (
        address in _UNICAST_6
        and not any(address in network for network in _REFUSED_6)
        and address.scope_id is None
        and (int(address) >> 32 & 0xFFFFFFFF) not in _ISATAP
    )


def check_url(text: str, *, allow_private: bool) -> URL:
    """Read the URL of an endpoint, with the parser that the client uses too.

    Args:
        allow_private: Permits http, any port and any host: for the sandbox only.

    Errors:
        InvalidParameter: the URL is not allowed; `param` is "url".
    """
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text or len(text) > URL_LENGTH_MAX:
        raise InvalidParameter("url must be a plain ASCII URL of at most 2,048 characters", param="url")
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise InvalidParameter("url must be a valid URL", param="url") from error
    try:
        host = url.host or ""  # decoded here: a label that begins with xn-- may be none
        host.encode("idna")  # as the client's look-up does
    except UnicodeError as error:
        raise InvalidParameter("url must name a host that can be looked up", param="url") from error
    if url.scheme not in ({"http", "https"} if allow_private else {"https"}) or not host:
        raise InvalidParameter("url must begin with https:// and name a host", param="url")
    if _USER.match(text) or url.raw_fragment:
        raise InvalidParameter("url must not carry a user, a password or a fragment", param="url")
    if not allow_private and (port not in PORTS or not _may_be_public(host)):
        raise InvalidParameter("url must name a public host and port 443 or 8443", param="url")
    return url


def _may_be_public(host: str) -> bool:
    if ":" in host or host.rstrip(".").rpartition(".")[2][:1].isdigit():
        return is_public(host)  # a last label that begins with a digit is an address, in any notation
    return "." in host.strip(".") and "%" not in host


class GuardedResolver(AbstractResolver):
    """Resolves names in threads of its own, so that slow name servers delay nothing else. Refuses a host if any of its
    addresses is not public.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        addresses = await loop.run_in_executor(self._threads, self._look_up, host, port, family)
        if not addresses or not all(is_public(address) for _, address in addresses):
            raise AddressRefused("the host resolves to an address that is not public, or to none")
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=0, flags=int(socket.AI_NUMERICHOST)
            )
            for kind, address in addresses
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, host: str, port: int, family: int) -> list[tuple[int, str]]:
        answers = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        return [(kind, str(address[0])) for kind, _, _, _, address in answers]


def guarded_socket(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """Make the socket of a connection, or refuse its address before anything is sent.

    Errors:
        AddressRefused: the address is not public.
    """
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise AddressRefused("the address is not public")
    return socket.socket(family, kind, protocol)
