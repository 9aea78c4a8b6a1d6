"""Values at the edges: they pass one check and have failed at a later one. Shared by the walks of API and command line.

A run takes some of them for each parameter, the same ones each time; another HUTONG_TEST_EDGES_SEED takes others, and
HUTONG_TEST_EDGES=all takes all (`make edges`).
"""

from __future__ import annotations

import os
from random import Random
from typing import TypeVar

T = TypeVar("T")

ALL = os.environ.get("HUTONG_TEST_EDGES") == "all"
EDGES_SEED = int(os.environ.get("HUTONG_TEST_EDGES_SEED", "0"))

INTEGERS = [
    0, -1, 1, 2**15 - 1, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 10**15 - 1, 10**15,
    2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 2**127, 10**40, 10**400,
]  # fmt: skip

INSTANTS = [
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59",
    "9999-12-31T23:59:59.999999+23:59", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z",
    "2026-06-30T23:59:60Z", "2016-12-31T23:59:60+23:59", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00", "2026-01-01", "9998-12-31T00:00:00Z", "0000-00-00T00:00:00Z",
    "2026-01-01T00:00:00.0000000001Z", "-2026-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "20260101T000000Z",
]  # fmt: skip

DAYS = [
    "0001-01-01", "9999-12-31", "9999-12-30", "0001-01-02", "1970-01-01", "1969-12-31", "2026-02-29", "0000-01-01",
    "10000-01-01", "2026-1-1", "20260101", "2026-W01-1", "-0001-01-01", "2026-13-01", "0001-01", "9999-12", "0001",
    "9999",
]  # fmt: skip

URLS = [
    "https://xn--/", "https://xn--a.example/", "https://xn--zca\u00df.example/", "https://xn--0.pt/",
    f"https://{'a' * 64}.example/", f"https://{'.'.join(['a' * 63] * 5)}/", "https://\u4e2d\u6587.\u4f8b\u5b50/",
    "https://\u2603.example/", "https://fa\u00df.de/", "https://a..b/", "https://.example/", "https://example./",
    "https://1.2.3/", "https://0x7f.1/", "https://[::1", "https://[::1]/", "https://[v1.x]/", "https://a:99999/",
    "https://a:0/", "https://a:-1/", "https://a:/", "https://%00.example/", "https://a%ff.example/", "https://-a.example/",
    "https://\u200d.example/", "https://a\u3002example/", "https://user@example/", "https://", "https:/x", "//x", "x:y",
    "https://example/\x00", "https://example/%zz", "https://example/?a=\u202e", "https://EXAMPLE.\u212aelvin/",
]  # fmt: skip

TEXTS = [
    "", " ", "\t", "\n", "\x00", "a\x00b", "\x7f", "\x1b[2J", "\ud800", "a\udfffb", "\u202egpj", "\u2066a\u2069",
    "\u200b", "\ufeff", "\u3164", "\U000e0041", "\uffff", "\U0010ffff", "\U0001f600", "e\u0301" * 40, "\ufdfa" * 20,
    "=1+1", "\uff1d1+1", "@x", "'", '"', "\\", "%", "%00", "%s", "{0}", "{{7*7}}", "${x}", "$1", ";", "--", "-", "--x",
    "*", "..", "../../x", "/", "null", "NaN", "Infinity", "-0", "1e400", "1_000", "0x10", "\u0661", "\uff11", "a" * 63,
    "a" * 64, "a" * 255, "a" * 256, "a" * 4096, "a" * 65_536, "mer_", "mer_7zzzzzzzzzzzzzzzzzzzzzzzzz",
    "pay_8zzzzzzzzzzzzzzzzzzzzzzzzz", "pay_01h455vb4pex5vsknk084sn02q", "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "9" * 18, "9223372036854775807", "9223372036854775808", "9" * 5_000, "-9223372036854775809", "2026-00", "2026-13",
]  # fmt: skip


def some(values: list[T], count: int, random: Random) -> list[T]:
    """All values or, unless all are wanted, so many of them."""
    return values if ALL or len(values) <= count else random.sample(values, count)
