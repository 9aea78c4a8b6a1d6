"""Unmapped codes: logged and counted at once, written to the database a little later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from prometheus_client import Counter

from hutong import db
from hutong.channels.statements import sql
from hutong.clock import Clock
from hutong.telemetry import get_logger, mask

_log = get_logger(__name__)
_SEEN = Counter(
    "hutong_channel_codes_unmapped", "Channel codes without an entry in the code map.", ["channel", "interface"]
)

NOTED_MAX = 1000
"""Most different codes that a process holds between two writes; further ones are logged and counted only."""

_CODE_LENGTH_MAX = 128
_MESSAGE_LENGTH_MAX = 256

_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class UnmappedCode:
    """An unmapped code with its number of occurrences: all of them, or those since the last write."""

    channel: str
    interface: str
    code: str
    sub_code: str
    first_seen_at: datetime
    last_seen_at: datetime
    count: int
    message: str


_read_unmapped = db.reader(UnmappedCode, sql["unmapped_code"])


async def open_unmapped(tx: db.Tx, *, limit: int = 1000) -> list[UnmappedCode]:
    """Return the codes that still have no meaning, the latest first."""
    return [_read_unmapped(row) for row in await sql.open_unmapped.fetch(tx, limit)]


class UnmappedCodes:
    """The unmapped codes that one process has seen since its last write. Noting one costs no I/O for a payment."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[_Key, UnmappedCode] = {}

    def watch(self, channel: str) -> Callable[[str, str, str, str], None]:
        """Return the function to call for each unmapped code of a channel: interface, code, sub-code, message."""

        def note(interface: str, code: str, sub_code: str, message: str) -> None:
            self._note(channel, interface, code, sub_code, message)

        return note

    def _note(self, channel: str, interface: str, code: str, sub_code: str, message: str) -> None:
        _SEEN.labels(channel, interface).inc()
        code, sub_code = _clean(code, _CODE_LENGTH_MAX), _clean(sub_code, _CODE_LENGTH_MAX)
        shown = _clean(mask(message), _MESSAGE_LENGTH_MAX)
        now = self._clock.now()
        key = (channel, interface, code, sub_code)
        previous = self._seen.get(key)
        if previous is not None:
            self._seen[key] = replace(previous, last_seen_at=now, count=previous.count + 1, message=shown)
            return
        _log.error(
            "channel_code_unmapped", channel=channel, interface=interface, channel_code=code,
            channel_sub_code=sub_code, message=shown,
        )  # fmt: skip
        if len(self._seen) < NOTED_MAX:
            self._seen[key] = UnmappedCode(*key, now, now, 1, shown)

    async def flush(self, database: db.Database) -> None:
        """Write the noted codes; if that fails, they stay noted."""
        written, self._seen = self._seen, {}
        if not written:
            return

        async def write(tx: db.Tx) -> None:
            await sql.record_unmapped.execute(tx, rows=list(written.values()))

        try:
            await database.run(write)
        except BaseException:
            self._restore(written)
            raise

    def _restore(self, unwritten: Mapping[_Key, UnmappedCode]) -> None:
        for key, old in unwritten.items():
            new = self._seen.get(key)
            if new is not None:
                self._seen[key] = replace(new, first_seen_at=old.first_seen_at, count=old.count + new.count)
            elif len(self._seen) < NOTED_MAX:
                self._seen[key] = old


def _clean(text: str, length: int) -> str:
    """Return a text that the database can store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:length]
