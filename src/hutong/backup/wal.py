"""The archived write-ahead log: segments, timelines, and the chain that a recovery reads.

The write-ahead log is a stream of bytes, addressed by LSN and cut into segments of 16 MiB. A recovery begins a new
timeline, whose segments have the timeline's number in their names. A file `0000000N.history` records the timelines from
which timeline N descends, and where each ends.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from hutong import db

SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT = r"[0-9A-F]{24}"
_SEGMENTS_PER_FILE_NUMBER = 0x1_0000_0000 // SEGMENT_BYTES
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_SWITCH = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)
_FAULT_LSN = re.compile(r"(?:at|LSN|after) ([0-9A-F]+/[0-9A-F]+)")
_TIME = re.compile(r"(?:COMMIT|ABORT)\S* (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC")
_HEADER = struct.Struct("=HHIQIIQ")  # magic, flags, timeline, address, remaining length, padding, system identifier


def parse_lsn(text: str) -> int:
    """Return the LSN that PostgreSQL writes as `1A/2B3C4D`."""
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def show_lsn(lsn: int) -> str:
    """Return an LSN as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFF_FFFF:X}"


def segment_number(name: str) -> int:
    """Return the number of a segment in the stream, regardless of its timeline."""
    return int(name[8:16], 16) * _SEGMENTS_PER_FILE_NUMBER + int(name[16:24], 16)


def segment_name(timeline: int, number: int) -> str:
    """Return the name of a segment's file."""
    return f"{timeline:08X}{number // _SEGMENTS_PER_FILE_NUMBER:08X}{number % _SEGMENTS_PER_FILE_NUMBER:08X}"


@dataclass(frozen=True, slots=True)
class Reach:
    """A timeline's part of a chain: the LSN where it begins, and where its child begins (None for the last)."""

    timeline: int
    begin: int
    end: int | None


def log_files(folder: Path) -> list[Path]:
    """Return the segments and the histories of timelines in a folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if re.fullmatch(SEGMENT, path.name) or is_history(path.name)]


def is_history(name: str) -> bool:
    """Return whether a file is the history of a timeline."""
    return _HISTORY.fullmatch(name) is not None


class Log:
    """The files of a write-ahead log: those of a folder, and further ones."""

    def __init__(self, folder: Path, further: Iterable[Path] = ()) -> None:
        self.files = {path.name: path for path in (*further, *log_files(folder))}

    def newest_timeline(self) -> int:
        """Return the newest timeline that has files."""
        return max((int(name[:8], 16) for name in self.files), default=1)

    def reaches(self, timeline: int) -> list[Reach]:
        """Return the timelines from the first to this one, with the part of each that belongs to its history."""
        history = self.files.get(f"{timeline:08X}.history")
        parents = [] if history is None else _SWITCH.findall(history.read_text())
        reaches, begin = [], 0
        for parent, switch in parents:
            reaches.append(Reach(int(parent), begin, parse_lsn(switch)))
            begin = parse_lsn(switch)
        return [*reaches, Reach(timeline, begin, None)]

    def chain(self, timeline: int, start: int) -> tuple[list[str], list[str]]:
        """Return the names of the segments from an LSN to the newest of a timeline, and those of them that are missing.

        A segment in which a timeline begins has the content of its parent before that point.
        """
        reaches = self.reaches(timeline)
        if not any(name.startswith(f"{timeline:08X}") and not name.endswith(".history") for name in self.files):
            reaches = reaches[:-1] or reaches  # nothing was archived since the timeline began

        def expected(number: int) -> str:
            owner = next(reach for reach in reversed(reaches) if reach.begin // SEGMENT_BYTES <= number)
            return segment_name(owner.timeline, number)

        first = start // SEGMENT_BYTES
        numbers = {segment_number(name) for name in self.files if re.fullmatch(SEGMENT, name)}
        limit = max(numbers, default=first) if reaches[-1].end is None else (reaches[-1].end - 1) // SEGMENT_BYTES
        existing = [number for number in numbers if first <= number <= limit and expected(number) in self.files]
        names = [expected(number) for number in range(first, max(existing, default=first) + 1)]
        return names, [name for name in names if name not in self.files]

    def newest_time(self, names: Iterable[str]) -> datetime | None:
        """Return the time of the newest transaction that ended in these segments, which are in order."""
        return next((max(times) for name in reversed(list(names)) if (times := self._times(name))), None)

    def seams(self, timeline: int, start: int) -> Iterator[tuple[datetime, datetime]]:
        """Yield, for each restore in the history of a timeline since an LSN, the times of two transactions.

        One is the last before the restored moment, the other is the first after the restore; nothing is in between.
        """
        names, missing = self.chain(timeline, start)
        if missing:
            return
        first = start // SEGMENT_BYTES
        for reach in self.reaches(timeline)[1:]:
            place = reach.begin // SEGMENT_BYTES - first
            if reach.begin <= start or place >= len(names):
                continue
            edge = show_lsn(reach.begin)
            before = max(self._times(names[place], f"--end={edge}"), default=None) or self.newest_time(names[:place])
            after = chain([self._times(names[place], f"--start={edge}")], map(self._times, names[place + 1 :]))
            first_after = next((min(times) for times in after if times), None)
            if before is not None and first_after is not None:
                yield before, first_after

    def _times(self, name: str, *options: str) -> list[datetime]:
        """Return the times of the transactions that ended in a segment."""
        found = _TIME.findall(_dump("--rmgr=Transaction", *options, str(self.files[name])).stdout)
        return [datetime.fromisoformat(time).replace(tzinfo=UTC) for time in found]

    def faults(self, names: Sequence[str], *, timeline: int, start: int, system_identifier: int) -> list[str]:
        """Read these segments from an LSN on, which are whole and in order, and return their faults.

        The header of each file is checked, then the checksum of each record.
        """
        seen = [(name, header_fault(self.files[name], system_identifier)) for name in names]
        faults = [f"wal/{name}: {fault}" for name, fault in seen if fault is not None]
        if faults or not names:
            return faults
        end = (segment_number(names[-1]) + 1) * SEGMENT_BYTES
        for reach in self.reaches(timeline):
            begin, stop = max(start, reach.begin), min(end, end if reach.end is None else reach.end)
            if begin >= stop:
                continue
            last = segment_name(reach.timeline, (stop - 1) // SEGMENT_BYTES)
            if last not in self.files:  # the child's copy of the segment has the rest
                stop = (stop - 1) // SEGMENT_BYTES * SEGMENT_BYTES
                if begin >= stop:
                    continue
            folder = self.files[segment_name(reach.timeline, begin // SEGMENT_BYTES)].parent
            done = _dump(
                "--quiet", f"--path={folder}", f"--timeline={reach.timeline}", f"--start={show_lsn(begin)}",
                f"--end={show_lsn(stop)}",
            )  # fmt: skip
            if done.returncode != 0:
                reason = done.stderr.strip().removeprefix("pg_waldump: error: ")
                places = _FAULT_LSN.findall(reason)  # the record before the fault, where one was read; the fault itself
                number = (parse_lsn(places[-1]) if places else begin) // SEGMENT_BYTES
                faults.append(f"wal/{segment_name(reach.timeline, number)}: {reason}")
        return faults


def header_fault(path: Path, system_identifier: int) -> str | None:
    """Return what is wrong with a segment at first sight, if anything.

    In its own folder a server keeps files for later, whose content is that of an older segment.
    """
    if (size := path.stat().st_size) != SEGMENT_BYTES:
        return f"{size} bytes instead of {SEGMENT_BYTES}"
    with path.open("rb") as file:
        header = _HEADER.unpack(file.read(_HEADER.size))
    if header[3] != segment_number(path.name) * SEGMENT_BYTES:
        return "its content is that of another segment"
    return None if header[6] == system_identifier else "it is of another database"


def _dump(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(db.binaries() / "pg_waldump"), *arguments]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
