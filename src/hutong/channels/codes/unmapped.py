"""Codes that the map does not hold: noted at once, alerted, and written down a little later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from prometheus_client import Counter

from hutong import db
from hutong.channels.statements import sql
from hutong.clock import Clock
from hutong.telemetry import get_logger, mask

_log = get_logger(__name__)
_SEEN = Counter("hutong_channel_codes_unmapped", "Channel codes that the map does not hold.", ["channel", "interface"])

NOTED_MAX = 1000
"""Most different codes that a process holds between two writes; more are logged and counted, and not written down."""

_CODE_LENGTH_MAX = 128
_MESSAGE_LENGTH_MAX = 256

_Place = tuple[str, str, str, str]


class Unmapped:
    """What one process has seen since it last wrote. Noting costs no I/O, so that no payment waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[_Place, tuple[datetime, datetime, int, str]] = {}

    def watch(self, channel: str) -> Callable[[str, str, str, str], None]:
        """What to tell of the codes of one channel: interface, code, sub-code, message."""

        def note(interface: str, code: str, sub_code: str, message: str) -> None:
            self._note(channel, interface, code, sub_code, message)

        return note

    def _note(self, channel: str, interface: str, code: str, sub_code: str, message: str) -> None:
        _SEEN.labels(channel, interface).inc()
        place = (channel, interface, _clean(code, _CODE_LENGTH_MAX), _clean(sub_code, _CODE_LENGTH_MAX))
        shown = _clean(mask(message), _MESSAGE_LENGTH_MAX)
        now = self._clock.now()
        first, _, count, _ = self._noted.get(place, (now, now, 0, ""))
        if count == 0:
            _log.error(
                "channel_code_unmapped", channel=channel, interface=interface, channel_code=place[2],
                channel_sub_code=place[3], message=shown,
            )  # fmt: skip
            if len(self._noted) >= NOTED_MAX:
                return
        self._noted[place] = (first, now, count + 1, shown)

    async def flush(self, database: db.Database) -> None:
        """Write down what was noted; if that fails, it is noted still."""
        taken, self._noted = self._noted, {}
        if not taken:
            return
        places, seen = list(taken), list(taken.values())

        async def write(tx: db.Tx) -> None:
            await sql.record_unmapped.execute(
                tx, *map(list, zip(*places, strict=True)), *map(list, zip(*seen, strict=True))
            )

        try:
            await database.run(write)
        except BaseException:
            self._give_back(taken)
            raise

    def _give_back(self, taken: dict[_Place, tuple[datetime, datetime, int, str]]) -> None:
        for place, (first, last, count, message) in taken.items():
            known = self._noted.get(place)
            if known is not None:
                self._noted[place] = (first, known[1], count + known[2], known[3])
            elif len(self._noted) < NOTED_MAX:
                self._noted[place] = (first, last, count, message)


def _clean(text: str, length: int) -> str:
    """Text that the database can hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:length]
