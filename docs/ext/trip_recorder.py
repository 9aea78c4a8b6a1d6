"""The recorder of trips: which of our functions begin, and where transactions begin and end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from dis import opmap
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from layers import SOURCE

_OUTSIDE = ("sandbox",)
"""Packages that simulate the systems of others are not part of a trip."""

_MARKS = {
    ("asyncpg/transaction.py", "start"): "begin",
    ("asyncpg/transaction.py", "commit"): "end",
    ("asyncpg/transaction.py", "rollback"): "end",
    ("aiohttp/client.py", "_request"): "request",
}
_RESUME = opmap["RESUME"]


@dataclass(frozen=True, slots=True)
class Call:
    """The start of a function, or a mark: the start or end of a transaction, or an outgoing request.

    Attributes:
        file: The function's file below `src/hutong`, such as "payments/model.py"; for a mark "".
        callers: The calls that enclose it, the outermost first, by their positions in the record.
    """

    file: str
    function: str
    callers: tuple[int, ...] = ()

    @property
    def is_mark(self) -> bool:
        return not self.file


class Recorder:
    """A recorder of one trip at a time, in the thread of the event loop."""

    def __init__(self) -> None:
        self._known: dict[CodeType, tuple[str, str] | None] = {}
        self._calls: list[Call] = []
        self._frames: dict[int, tuple[FrameType, int]] = {}
        self._others: set[asyncio.Task[Any]] = set()

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Call]]:
        """Record for the length of a block. Tasks that started earlier are left out, since they do other work."""
        self._calls, self._frames = [], {}
        self._others = asyncio.all_tasks() - {asyncio.current_task()}
        sys.setprofile(self._see)
        try:
            yield self._calls
        finally:
            sys.setprofile(None)
            self._frames = {}

    def _see(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code not in self._known:
            self._known[code] = _name(code)
        name = self._known[code]
        if name is None or not _begins(frame) or _task() in self._others:
            return
        callers, above = [], frame.f_back
        while above is not None:
            if id(above) in self._frames:
                callers.append(self._frames[id(above)][1])
            above = above.f_back
        # The frame is kept, so that no other frame gets its id.
        self._frames[id(frame)] = frame, len(self._calls)
        self._calls.append(Call(*name, tuple(reversed(callers))))


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _name(code: CodeType) -> tuple[str, str] | None:
    """Return file and function, or "" and a mark, or None for other code."""
    path = Path(code.co_filename)
    if path.is_relative_to(SOURCE):
        inside = path.relative_to(SOURCE)
        ours = code.co_name != "<module>" and inside.parts[0] not in _OUTSIDE
        return (inside.as_posix(), code.co_qualname.replace(".<locals>", "")) if ours else None
    mark = _MARKS.get(("/".join(path.parts[-2:]), code.co_name))
    return None if mark is None else ("", mark)


def _begins(frame: FrameType) -> bool:
    """Return whether a function begins here; one that resumes after an await has another kind of RESUME."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return at < 0 or code[at] != _RESUME or code[at + 1] & 3 == 0
