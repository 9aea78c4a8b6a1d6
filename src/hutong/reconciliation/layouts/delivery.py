"""The way a file comes: plain, compressed, or as a zip; opened within limits, without writing under a foreign name."""

from __future__ import annotations

import gzip
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import IO, cast

from hutong.channels import BillRefused
from hutong.reconciliation.layouts.model import Delivery, Layout

SMALL = 1 << 20
"""Bytes up to which the ratio of compression is not limited."""
BROKEN = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, struct.error, NotImplementedError)
_FIRST_LINE_MAX = 1 << 14
MARK = re.compile("<(day|next):([^>]+)>")


class Bounded:
    """A stream that refuses to give more bytes than its limit."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end.

        Errors:
            BillRefused: the file is larger than the limit, or damaged.
        """
        try:
            data = self._stream.read(size)
        except (*BROKEN, OSError, RuntimeError) as error:
            raise BillRefused(f"the file cannot be unpacked: {type(error).__name__}") from None
        self._left -= len(data)
        if self._left < 0:
            raise BillRefused("the file unpacks to more than the limit")
        return data

    def read_all(self) -> bytes:
        """Return the whole of a small file."""
        return b"".join(iter(lambda: self.read(1 << 20), b""))


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of a delivery: its name, and how it is opened."""

    name: str
    open: Callable[[], Bounded]


@contextmanager
def opened(layout: Layout, files: Sequence[Path], day: date | None) -> Iterator[tuple[Bounded, Bounded | None]]:
    """Open the file of the rows, and that of the totals if the layout has one.

    Errors:
        BillRefused: above a limit, encrypted, damaged, with tricks in its names, or without the layout's files.
    """
    with ExitStack() as stack:
        parts = [part for path in files for part in _parts(path, layout, stack)]
        rows = _rows_of(layout, parts, day)
        if layout.summary is None:
            yield rows.open(), None
            return
        totals = [part for part in parts if _begins(part, layout, layout.summary.before, day)]
        if len(totals) != 1:
            raise BillRefused("the file with the totals is missing")
        yield rows.open(), totals[0].open()


def _rows_of(layout: Layout, parts: Sequence[_Part], day: date | None) -> _Part:
    found = list(parts)
    if layout.delivery.member and len(parts) > 1:
        found = [part for part in parts if re.fullmatch(layout.delivery.member, part.name)]
    elif layout.frame.before and len(parts) > 1:
        found = [part for part in parts if _begins(part, layout, layout.frame.before, day)]
    if len(found) != 1:
        raise BillRefused("the delivery does not hold one file of rows")
    return found[0]


def _begins(part: _Part, layout: Layout, before: Sequence[str], day: date | None) -> bool:
    line = part.open().read(_FIRST_LINE_MAX).split(b"\n", 1)[0].removesuffix(b"\r")
    return re.fullmatch(dated(before[0], day), line.decode(layout.text.encoding, "replace")) is not None


def dated(pattern: str, day: date | None) -> str:
    """Return a pattern of a frame for a day, or for any day; its group `any_day` is then the day of the file."""
    if day is None:
        first = MARK.sub("(?P<any_day>.+?)", pattern, count=1)
        return MARK.sub(".+?", first)
    days = {"day": day, "next": day + timedelta(days=1)}
    return MARK.sub(lambda mark: re.escape(days[mark[1]].strftime(mark[2])), pattern)


def _parts(path: Path, layout: Layout, stack: ExitStack) -> Iterator[_Part]:
    """Yield what a file holds: itself, what it compresses, or the members of a zip."""
    limits, size = layout.delivery, path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        limit = min(limits.size_max, max(size * limits.ratio_max, SMALL))
        yield _Part(path.name, lambda: Bounded(cast("IO[bytes]", stack.enter_context(gzip.GzipFile(path))), limit))
    elif magic == b"PK\x03\x04" and layout.form != "xlsx":
        try:
            packed = stack.enter_context(zipfile.ZipFile(path))
        except (*BROKEN, ValueError) as error:
            raise BillRefused(f"the file is not a whole zip: {type(error).__name__}") from None
        for member in members(packed, limits):
            yield _Part(member.filename, lambda member=member: _open(packed, member, stack))  # type: ignore[misc]
    else:
        yield _Part(path.name, lambda: Bounded(stack.enter_context(path.open("rb")), limits.size_max))


def _open(packed: zipfile.ZipFile, member: zipfile.ZipInfo, stack: ExitStack) -> Bounded:
    try:
        return Bounded(stack.enter_context(packed.open(member)), member.file_size)
    except (*BROKEN, OSError, RuntimeError, ValueError) as error:
        raise BillRefused(f"the file is not a whole zip: {type(error).__name__}") from None


def members(packed: zipfile.ZipFile, limits: Delivery) -> list[zipfile.ZipInfo]:
    """Return the members of a zip that are files.

    Errors:
        BillRefused: above a limit, encrypted, named twice, or with a name that leads out of it.
    """
    found = packed.infolist()
    names = {member.filename for member in found}
    if len(names) != len(found) or len(found) > limits.members_max:
        raise BillRefused("the zip has too many members, or one name twice")
    if sum(member.file_size for member in found) > limits.size_max:
        raise BillRefused("the file unpacks to more than the limit")
    for member in found:
        parts = re.split(r"[/\\]", member.filename)
        if ".." in parts or not parts[0] or ":" in parts[0] or member.header_offset < 0:
            raise BillRefused("a member of the zip has a name that leads out of it")
        if member.flag_bits & 1:
            raise BillRefused("a member of the zip is encrypted")
        if member.file_size > max(SMALL, limits.ratio_max * member.compress_size):
            raise BillRefused("the compression ratio of the zip is above the limit")
    return [
        member
        for member in found
        if not member.is_dir() and not (limits.extra and re.fullmatch(limits.extra, member.filename))
    ]
