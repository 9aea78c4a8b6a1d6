"""The one way in which clients of other servers are made: those of channels, of merchants and of auditors.

Whatever such a server answers is bounded here, before anything is parsed: the length of the lines and the number of the
fields of a head. Bodies stay as they were sent, so that a packed one cannot expand; who reads one bounds its length.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

LINE_BYTES_MAX = 8 * 1024
"""The longest line of an answer's head: its status or one of its fields."""
FIELDS_MAX = 64
"""The most fields of an answer's head."""


def open_session(
    timeout: aiohttp.ClientTimeout,
    *,
    connector: aiohttp.TCPConnector | None = None,
    headers: Mapping[str, str] | None = None,
) -> aiohttp.ClientSession:
    """Open a client that keeps no cookies, unpacks nothing and reads no settings from the environment.

    Args:
        timeout: It must have a total, from the start of a call to the last byte of its answer.
    """
    assert timeout.total is not None
    return aiohttp.ClientSession(
        timeout=timeout,
        connector=connector,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=LINE_BYTES_MAX,
        max_field_size=LINE_BYTES_MAX,
        max_headers=FIELDS_MAX,
    )
