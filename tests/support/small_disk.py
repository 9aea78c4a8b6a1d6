"""A file system of its own, small enough to be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support import let_through, unavailable


@contextmanager
def small_disk(folder: Path, *, size_kb: int) -> Iterator[Path]:
    """Mount a small file system at a new folder for a block."""
    folder.mkdir()
    let_through(folder.parent)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k,mode=711", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        unavailable("only root can mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room of a disk; return the file that has it."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            os.write(file.fileno(), bytes(1 << 12))
    return ballast
