"""Statements fetched from a bank that serves them over HTTP, such as the sandbox's."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import aiohttp

from hutong.errors import Unavailable
from hutong.outgoing import open_session

_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)
_BYTES_MAX = 1 << 28
_PART_BYTES = 1 << 16


async def fetch_statement(url: str, day: date, out: Path, *, currency: str, format: str = "camt") -> None:  # noqa: A002
    """Fetch the statement of a day.

    Args:
        url: The address below which the bank has its statements by day: `<url>/<day>?currency=CNY&format=camt`.
        out: The file to write; it is there as a whole or not at all.

    Errors:
        Unavailable: the bank does not answer, refuses, or answers with more than 256 MB.
    """
    part, size = out.with_suffix(".fetched"), 0
    query = {"currency": currency, "format": format}
    try:
        async with (
            open_session(_TIMEOUT) as session,
            session.get(f"{url.rstrip('/')}/{day.isoformat()}", params=query, allow_redirects=False) as answer,
        ):
            if not answer.ok:
                raise Unavailable(f"the bank answers with {answer.status}")
            with part.open("wb") as file:
                async for chunk in answer.content.iter_chunked(_PART_BYTES):
                    size += len(chunk)
                    if size > _BYTES_MAX:
                        raise Unavailable("the bank's statement is larger than 256 MB")
                    file.write(chunk)
        part.replace(out)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unavailable(f"the bank does not answer: {type(error).__name__}") from error
    finally:
        part.unlink(missing_ok=True)
