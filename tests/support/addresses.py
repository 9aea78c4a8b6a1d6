"""Addresses and URLs that a webhook must not go to, and a look-out for whatever leaves nevertheless."""

from __future__ import annotations

import sys
from contextvars import ContextVar


def listed(text: str) -> list[str]:
    return text.split()


NOT_PUBLIC = listed("""
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

PUBLIC = listed("""
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 169.253.255.255
    172.15.255.255 172.32.0.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.5.5.5 223.255.255.254
    2400:3200::1 2606:4700:4700::1111 2a00:1450:4001:82a::200e 2001:4860:4860::8888 2001:200::1
""")

URLS = listed("""
    https://xn--/hook https://xn--a.example/hook https://xn--0.pt/hook
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
    https://merchant.example:443@127.0.0.1/ https://127.0.0.1%2f@merchant.example/ https://[::1]@merchant.example/
    https://merchant.example%00@127.0.0.1/ https://a:b@c@127.0.0.1/ HTTPS://user@127.0.0.1/ HTTP://127.0.0.1/
    https:127.0.0.1 https:/127.0.0.1/ https:///127.0.0.1/ https:\\\\127.0.0.1/ ///127.0.0.1/ https//127.0.0.1/
    https://0x7f.1/ https://0x7f.0.1/ https://0177.1/ https://0x100000000/ https://4294967296/ https://127.0.0.256/
    https://[0:0:0:0:0:ffff:7f00:1]/ https://[::127.0.0.1]/ https://[::ffff:0:127.0.0.1]/ https://[::ffff:a9fe:a9fe]/
    https://[0000::0001]/ https://[::1%25lo]/ https://[v1.127.0.0.1]/ https://[64:ff9b:1::127.0.0.1]/ https://[::1]:22/
    https://169.254.169.254/latest/meta-data/ https://0.0.0.0/ https://255.255.255.255/ https://merchant.example:443#@x/
    dict://127.0.0.1:11211/ ldap://127.0.0.1/ unix:///run/postgresql/ data:text/plain,x blob:https://merchant.example/
    https://mërchant.example/ https://127。0。0。1/ https://merchant.example/\x00 https://merchant.example/\x7f
""")


_WATCHED: ContextVar[bool] = ContextVar("watched", default=False)
_SERVERS = 20_000
"""From this port on are the servers of tests, a receiver of the test's own too."""


class Wire:
    """Every attempt of a test's own tasks to connect a socket, refused before anything leaves.

    Tasks of the servers that other tests have left running are not its business.
    """

    def __init__(self) -> None:
        self.watching = False
        self.attempts: list[str] = []

    def hook(self, name: str, arguments: tuple[object, ...]) -> None:
        if not self.watching or name != "socket.connect" or not _WATCHED.get():
            return
        address = arguments[1]
        if isinstance(address, tuple) and address[1] < _SERVERS:  # the database is reached through a path
            self.attempts.append(str(address[0]))
            raise ConnectionRefusedError("stopped by the test")

    def watch(self) -> None:
        """Look out from now on, in the test that asks for it and in the tasks that it begins."""
        self.watching, self.attempts = True, []
        _WATCHED.set(True)


WIRE = Wire()
sys.addaudithook(WIRE.hook)  # there is no way to take a hook out again, so it is one that can be told to look away
