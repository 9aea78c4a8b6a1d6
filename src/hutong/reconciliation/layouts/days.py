"""The day of a file that comes without one: as its head names it, or that of its first row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from hutong.channels import BillRefused
from hutong.errors import InvalidParameter
from hutong.reconciliation.layouts.delivery import MARK, dated, opened
from hutong.reconciliation.layouts.model import Layout, offset
from hutong.reconciliation.layouts.reader import RowReader
from hutong.reconciliation.layouts.spool import places
from hutong.reconciliation.layouts.tables import first_values

_HEAD = 1 << 18
ANY_DAY = date(2000, 1, 1)
"""Of files whose rows have days of their own: it is not used."""


def day_of(layout: Layout, files: Sequence[Path]) -> date:
    """Return the day of a file.

    Errors:
        InvalidParameter: its layout does not tell the day.
        BillRefused: the file cannot be read.
    """
    if layout.row.day is not None or all(kind.day is not None for kind in layout.kinds):
        return ANY_DAY
    with opened(layout, files, None) as (stream, _):
        head = stream.read(_HEAD)
    lines = head.decode(layout.text.encoding, "replace").removeprefix("\ufeff").splitlines()
    for pattern, line in zip(layout.frame.before, lines, strict=False):
        mark = MARK.search(pattern)
        match = re.fullmatch(dated(pattern, None), line) if mark else None
        if mark and match:
            try:
                return datetime.strptime(match["any_day"], mark[2]).date()  # noqa: DTZ007 (a day has no zone)
            except ValueError:
                raise BillRefused("the day of the file cannot be read") from None
    return _first_day(layout, head, lines)


def _first_day(layout: Layout, head: bytes, lines: Sequence[str]) -> date:
    """Return the day of the first row. Errors as `day_of`."""
    name, text = layout.row.at, layout.text
    if name is None or layout.columns[name].format == "MMDDhhmmss" or layout.form not in ("csv", "json"):
        raise InvalidParameter("the day of the file must be given: the file does not name it", param="day")
    if layout.form == "json":
        names, values = list(layout.used), first_values(layout, head)
    else:
        skipped = len(layout.frame.before)
        names = [each.strip() for each in lines[skipped].split(text.separator.removesuffix(text.prefix))]
        values = lines[skipped + 1].removeprefix(text.prefix).split(text.separator) if len(lines) > skipped + 1 else []
    reader = RowReader(layout, places(layout, names, len(names)), ANY_DAY, None)
    instant = reader.instant(name, reader.texts(values)) if len(values) == len(names) else None
    if instant is None:
        raise InvalidParameter("the day of the file must be given: the file has no row", param="day")
    zone: timedelta = offset(layout.zone)
    return (instant + zone).date()
