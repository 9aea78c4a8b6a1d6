"""The heads of the books' chain outside of the database: in a file of the data folder, and at an address if one is set.

A person who can change the database can rebuild the whole chain. A head that is kept elsewhere shows that.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import aiohttp
from standardwebhooks import Webhook

from hutong import ledger, outgoing
from hutong.app.platform import Platform
from hutong.config import Settings, home_folder
from hutong.errors import InvalidParameter, Unavailable

_TIMEOUT = aiohttp.ClientTimeout(total=10)


def heads_file(settings: Settings) -> Path:
    """Return the file of the data folder to which the worker writes heads: a line of JSON each, the newest last."""
    return settings.home / "ledger-heads.jsonl"


def read_heads(file: Path) -> list[str]:
    """Return the hashes in a file of heads, oldest first.

    Errors:
        InvalidParameter: a line is not a head; `param` is the file.
    """
    heads = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            heads.append(str(json.loads(line)["hash"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidParameter(f"line {number} of the file is not a head", param=str(file)) from error
    return heads


async def keep_head(platform: Platform) -> None:
    """Keep the newest head of the chain outside of the database, if it is not the last one kept.

    Effects:
        Appends it to the file once the address, if there is one, has taken it.

    Errors:
        Unavailable: the address did not take it. The next call sends the head of that time.
    """
    async with platform.database.transaction() as tx:
        head = await ledger.chain_head(tx)
    home_folder(platform.settings)
    file = heads_file(platform.settings)
    if head is None or (file.exists() and read_heads(file)[-1:] == [head.hash]):
        return
    line = json.dumps({"seq": head.seq, "hash": head.hash, "sealed_at": head.sealed_at.isoformat()})
    if platform.settings.ledger_head_url is not None:
        await _send(platform, head, line)
    _append(file, line)


def _append(file: Path, line: str) -> None:
    """Append a whole line, or nothing: half a head would be no head, and the file could not be read any more."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        before = os.fstat(descriptor).st_size
        try:
            whole = f"{line}\n".encode()
            if os.write(descriptor, whole) < len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


async def _send(platform: Platform, head: ledger.Head, body: str) -> None:
    secret, url, now = platform.settings.ledger_head_secret, platform.settings.ledger_head_url, platform.clock.now()
    assert secret is not None
    assert url is not None
    name = f"head_{head.seq}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret.get_secret_value()).sign(name, now, body),
    }
    try:
        async with (
            outgoing.open_session(_TIMEOUT) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as reply,
        ):
            status = reply.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"the head of the books could not be sent: {type(error).__name__}") from error
    if status // 100 != 2:
        raise Unavailable(f"the head of the books could not be sent: HTTP {status}")
