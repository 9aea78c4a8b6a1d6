"""Files of fixed width: cut by bytes before they are decoded, all rows of a block at once."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hutong.channels import BillRefused
from hutong.reconciliation.layouts.delivery import Bounded
from hutong.reconciliation.layouts.model import EXCEPTIONS_MAX, Layout
from hutong.reconciliation.layouts.spool import BLOCK, Spooled
from hutong.reconciliation.layouts.tables import SEPARATOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLANK = 32
_ASCII_END = 0x80


class _FixedSpooler:
    def __init__(self, layout: Layout, out: IO[bytes]) -> None:
        self._layout = layout
        self._out = out
        widths = {name: column.width or 0 for name, column in layout.columns.items()}
        gap = layout.text.gap
        ends = list(itertools.accumulate(width + gap for width in widths.values()))
        self.length = ends[-1] - gap
        self._gaps = [end - 1 for end in ends[:-1]] if gap else []
        places = {
            name: slice(end - gap - width, end - gap) for (name, width), end in zip(widths.items(), ends, strict=True)
        }
        self._kept = [places[name] for name in layout.used]
        self.result = Spooled(separator=SEPARATOR, width=len(self._kept))

    def run(self, stream: Bounded) -> Spooled:
        """Write the kept columns of all rows. Errors as `spool_fixed`."""
        buffer = stream.read(BLOCK)
        step = self.length + (2 if buffer[self.length : self.length + 1] == b"\r" else 1)
        while buffer:
            data = stream.read(BLOCK)
            if not data:
                stripped = buffer.rstrip(b"\r\n")
                blanks = len(buffer) % step
                if blanks and not buffer[-blanks:].strip():
                    buffer = buffer[:-blanks]
                elif len(stripped) % step == self.length:
                    buffer = stripped + (b"\r\n" if step - self.length > 1 else b"\n")
            whole = len(buffer) // step * step
            self._block(buffer[:whole], step)
            buffer = buffer[whole:] + data
            if not data and buffer:
                self._refuse(self.result.rows + 1)
        return self.result

    def _refuse(self, number: int) -> None:
        raise BillRefused(f"row {number} does not have the length of the layout")

    def _block(self, block: bytes, step: int) -> None:
        import numpy as np

        if not block:
            return
        rows = np.frombuffer(block, dtype=np.uint8).reshape(-1, step)
        framed = (rows[:, -1] == ord("\n")) & (rows[:, self._gaps] == _BLANK).all(axis=1)
        if step - self.length > 1:
            framed &= rows[:, -2] == ord("\r")
        if not framed.all():
            self._refuse(self.result.rows + int(framed.argmin()) + 1)
        kept = np.empty((len(rows), sum(each.stop - each.start + 1 for each in self._kept)), dtype=np.uint8)
        end = 0
        for each in self._kept:
            start, end = end, end + each.stop - each.start + 1
            kept[:, start : end - 1] = rows[:, each]
            kept[:, end - 1] = ord(SEPARATOR)
        kept[:, -1] = ord("\n")
        for place in self._odd(rows, kept):
            self._set_aside(bytes(rows[place]), self.result.rows + place + 1)
            self.result.stand_ins += 1
            kept[place] = np.where((kept[place] == ord(SEPARATOR)) | (np.arange(kept.shape[1]) == kept.shape[1] - 1),
                                   kept[place], _BLANK)  # fmt: skip
            kept[place, -1] = ord("\n")
        self._out.write(kept.tobytes())
        self.result.rows += len(rows)

    def _odd(self, rows: NDArray[np.uint8], kept: NDArray[np.uint8]) -> list[int]:
        """Return the rows that are not in the layout's encoding, or whose kept columns are not plain characters."""
        import numpy as np

        controls = (kept < _BLANK).sum(axis=1) != len(self._kept)
        odd = controls | (kept >= _ASCII_END).any(axis=1)
        beyond = np.flatnonzero((rows >= _ASCII_END).any(axis=0))
        if len(beyond):
            part = rows[:, beyond[0] : beyond[-1] + 2]
            ended = np.concatenate([part, np.full((len(part), 1), ord("\n"), dtype=np.uint8)], axis=1)
            try:
                ended.tobytes().decode(self._layout.text.encoding)
            except UnicodeDecodeError:
                for place in np.flatnonzero((part >= _ASCII_END).any(axis=1)):
                    odd[place] |= not self._is_text(bytes(rows[place]), self.result.rows + int(place) + 1)
        return [int(place) for place in np.flatnonzero(odd)]

    def _is_text(self, row: bytes, number: int) -> bool:
        try:
            row.decode(self._layout.text.encoding)
        except UnicodeDecodeError:
            self.result.undecoded.add(number)
            return False
        return True

    def _set_aside(self, row: bytes, number: int) -> None:
        encoding = self._layout.text.encoding
        values = [row[each].decode(encoding, "replace").replace(SEPARATOR, " ") for each in self._kept]
        self.result.irregular[number] = SEPARATOR.join(values)
        if len(self.result.irregular) > EXCEPTIONS_MAX:
            raise BillRefused("too many rows of the file cannot be read")


def spool_fixed(layout: Layout, stream: Bounded, path: Path) -> Spooled:
    """Write the columns of a file that are read as lines for DuckDB.

    Errors:
        BillRefused: a row does not have the length of the layout, or its blanks.
    """
    with path.open("wb") as out:
        return _FixedSpooler(layout, out).run(stream)
