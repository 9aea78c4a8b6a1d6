"""One at a time in the folder of an account: its files are read and its days are run by one process alone."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hutong.errors import Conflict

_EVERY_S = 0.2
_PATIENCE_S = 600.0


@asynccontextmanager
async def alone(root: Path, account: str, *, patience_s: float = _PATIENCE_S) -> AsyncIterator[None]:
    """Hold an account's folder for the length of a block. The system frees it when the process ends, however it does.

    Args:
        account: The account's public id.
        patience_s: How long to wait for another process.

    Errors:
        Conflict: another process still holds it.
    """
    folder = root / account
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(int(patience_s / _EVERY_S)):
            if _try(descriptor):
                break
            await asyncio.sleep(_EVERY_S)
        else:
            if not _try(descriptor):
                raise Conflict("another process reads a file of this account, or runs one of its days")
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
