"""The processor time of a platform's processes."""

from __future__ import annotations

from collections.abc import Collection

import psutil


class CpuMeter:
    """Processor seconds of groups of processes since the meter was made.

    Args:
        groups: Process ids by name.
        families: Groups whose processes count with their children, including ended ones.
    """

    def __init__(self, groups: dict[str, list[int]], *, families: Collection[str] = ()) -> None:
        self._groups = groups
        self._families = families
        self._start = self._read()

    def seconds(self) -> dict[str, float]:
        """Return the seconds used by each group since the start."""
        now = self._read()
        return {name: now[name] - self._start[name] for name in self._groups}

    def _read(self) -> dict[str, float]:
        return {
            name: sum(_seconds(pid, family=name in self._families) for pid in pids)
            for name, pids in self._groups.items()
        }


def _seconds(pid: int, *, family: bool) -> float:
    """Return the processor seconds of a process and, for a family, of its ended and living children."""
    try:
        process = psutil.Process(pid)
        own = process.cpu_times()
        total = own.user + own.system
        if family:
            total += own.children_user + own.children_system
            total += sum(_seconds(child.pid, family=True) for child in process.children())
    except psutil.NoSuchProcess:
        return 0.0
    return float(total)
