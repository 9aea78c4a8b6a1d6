"""Original files as rows: each file is read once, for all that need its rows."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from hutong.channels import BillRefused
from hutong.errors import InvalidParameter
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits, write_rows
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.manifest import InputFile, Manifest
from hutong.reconciliation.model import FileSource

if TYPE_CHECKING:
    from hutong.reconciliation.normalised import Normalised

_PARTS = "parts"


def part_of(folder: RunFolder, file: InputFile, place: int) -> Path:
    """Return where the rows of one original file stand."""
    return folder.path / "rows" / _PARTS / f"{file.sha256[:16]}-{place}.parquet"


def normalise_input(folder: RunFolder, file: InputFile, place: int, limits: Limits) -> Normalised:
    """Read an original file of the folder into rows.

    Args:
        place: Of the file in the run's list of inputs; each row names it.

    Effects:
        Writes the rows whole: to another name first.

    Errors:
        BillRefused: the file is not of its layout, its day or its account, or it does not add up.
    """
    part = part_of(folder, file, place)
    part.parent.mkdir(parents=True, exist_ok=True)
    out = part.with_suffix(".part")
    try:
        normalised = read_original(folder.inputs / file.name, out, file, limits, place=place, day=file.day)
        if normalised.day is not None and normalised.day != file.day:
            raise BillRefused(f"the file is of {normalised.day}, not of {file.day}")
        os.replace(out, part)
    finally:
        out.unlink(missing_ok=True)
    return normalised


def check_layout(layout: str, source: FileSource) -> None:
    """Refuse a layout that does not exist, or that is of the other kind of account.

    Errors:
        InvalidParameter.
    """
    from hutong.reconciliation import bank, layouts

    is_statement = layout in bank.FORMATS or layouts.load(layout).source is FileSource.BANK
    if is_statement is not (source is FileSource.BANK):
        kind = "bank statements" if is_statement else "channels' bills"
        raise InvalidParameter(f"`layout` {layout} is one of {kind}, and the account is none of them", param="layout")


def read_original(
    path: Path, out: Path, file: InputFile, limits: Limits, *, place: int = 0, day: date | None = None
) -> Normalised:
    """Read an original file by its layout. Errors as `normalise_input`.

    Args:
        file: Its layout and its account are used alone.
        day: None where the file itself is to tell.
    """
    from hutong.reconciliation import bank, layouts

    if file.layout in bank.FORMATS:
        return bank.normalise_statement(
            path, out, format=file.layout, number=file.account, currency=file.currency, file_index=place
        )
    normalised = layouts.normalise(
        layouts.load(file.layout),
        [path],
        out,
        account=file.account or None,
        day=day,
        file_index=place,
        memory_mb=limits.memory_mb,
        threads=limits.threads,
    )
    if file.source is FileSource.BANK:
        bank.finish_rows(out)
    return normalised


def normalise_inputs(folder: RunFolder, plan: Manifest, limits: Limits) -> None:
    """Write the rows of all original files of a run as one file, in the order of the files.

    Effects:
        A file whose rows are there already is not read again.

    Errors:
        BillRefused: as `normalise_input`.
    """
    parts: dict[SideSource, list[Path]] = {}
    for place, file in enumerate(plan.inputs):
        part = part_of(folder, file, place)
        if not part.exists():
            normalise_input(folder, file, place, limits)
        parts.setdefault(SideSource.BANK if file.source is FileSource.BANK else SideSource.BILL, []).append(part)
    for source in {layer.theirs for layer in plan.layers} & {SideSource.BANK, SideSource.BILL}:
        target = folder.rows(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        of_source = parts.get(source, [])
        if len(of_source) == 1:
            target.unlink(missing_ok=True)
            os.link(of_source[0], target)
        else:
            write_rows(target.parent, target.name, of_source, limits)
