"""The state of archiving, as the running server reports it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hutong import db
from hutong.backup.statements import sql
from hutong.backup.wal import SEGMENT, segment_number

LATE_AFTER = timedelta(minutes=15)
"""Three times the longest wait until a segment with changes is archived."""


@dataclass(frozen=True, slots=True)
class Archiving:
    """The state of archiving.

    Attributes:
        folder: The backup folder of the running server; None if the server archives nothing.
        is_failing: Whether the last attempt failed.
        waiting: Finished segments that are not archived.
        last_archived_at: When a file was last archived, or when the server started if none has been since.
    """

    folder: Path | None
    is_failing: bool
    waiting: int
    last_archived_at: datetime
    now: datetime

    @property
    def is_late(self) -> bool:
        """Whether segments have been waiting for too long."""
        return self.waiting > 0 and self.now - self.last_archived_at > LATE_AFTER


async def read_archiving(tx: db.Tx) -> Archiving:
    """Return the state of archiving."""
    row = await sql.archiving.fetchrow(tx)
    assert row is not None
    on = row["archive_mode"] == "on" and bool(row["folder"])
    waiting = 0
    # Other files are archived too: histories of timelines, marks of backups.
    if on and (last := re.match(SEGMENT, row["last_archived"] or "")):
        waiting = max(0, segment_number(row["current_segment"]) - segment_number(last[0]) - 1)
    return Archiving(
        Path(row["folder"]) if on else None,
        on and bool(row["is_failing"]),
        waiting,
        row["last_archived_at"],
        row["now"],
    )
