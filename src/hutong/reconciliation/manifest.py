"""The manifest of a run: what was computed from what, so that a stranger can compute it again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hutong.errors import InvariantBroken
from hutong.reconciliation.layers import LAYERS, LayerDefinition, SideSource
from hutong.reconciliation.model import DayWindow, FileSource, Layer, RowKind

FORM = 1
"""The version of the manifest's own form."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """An original file. Its place in the manifest's list, from 0, is the `file` of its rows.

    Attributes:
        name: In the folder `inputs/`.
        sha256: Of the file as it came, in hexadecimal digits.
        layout: The layout or statement format that it is read by.
        file_id: The public id of the file.
        day: The day that the file is of.
        account: The merchant number, or the bank account's number, that its rows must name; empty for any.
        currency: Of the bank account; empty for a bill.
    """

    name: str
    sha256: str
    size: int
    layout: str
    source: FileSource
    file_id: str
    day: date
    account: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one run was computed from, and what it came to.

    Attributes:
        account: The public id of the channel account or the bank account; the run's folder has the same name.
        channel: The channel's name, such as "wechat"; empty for a bank account.
        layers: The definitions as they were applied, in the order of matching.
        rows, results: The SHA-256 of each file in `rows/` and in `results/`, by name.
        totals: By layer, as the matcher counted.
        version: Of the software that computed it.
    """

    account: str
    channel: str
    day: date
    window: DayWindow
    layers: tuple[LayerDefinition, ...]
    inputs: tuple[InputFile, ...]
    engine: str
    version: str
    rows: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    totals: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the manifest whole: to another name first, which then takes the place of the last one."""
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(_document(self), file, ensure_ascii=False, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Errors:
            InvariantBroken: the file is not a manifest of this form.
        """
        try:
            return _from_document(json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvariantBroken(f"the manifest {path} is not readable: {error}") from error


def _document(manifest: Manifest) -> dict[str, Any]:
    window = manifest.window
    return {
        "form": FORM,
        "account": manifest.account,
        "channel": manifest.channel,
        "day": manifest.day.isoformat(),
        "window": {
            "zone_offset_s": _seconds(window.zone_offset),
            "cut_s": _seconds(window.cut),
            "margin_s": _seconds(window.margin),
            "rolls": window.rolls,
            "weekends": window.weekends,
            "holidays": [day.isoformat() for day in window.holidays],
            "workdays": [day.isoformat() for day in window.workdays],
        },
        "layers": [layer_document(layer) for layer in manifest.layers],
        "inputs": [
            {
                "name": file.name,
                "sha256": file.sha256,
                "size": file.size,
                "layout": file.layout,
                "source": file.source.value,
                "file_id": file.file_id,
                "day": file.day.isoformat(),
                "account": file.account,
                "currency": file.currency,
            }
            for file in manifest.inputs
        ],
        "engine": manifest.engine,
        "version": manifest.version,
        "rows": dict(manifest.rows),
        "results": dict(manifest.results),
        "totals": dict(manifest.totals),
    }


def _from_document(document: dict[str, Any]) -> Manifest:
    if document["form"] != FORM:
        raise ValueError(f"its form is {document['form']}, and this version reads {FORM}")
    window = document["window"]
    return Manifest(
        account=document["account"],
        channel=document["channel"],
        day=date.fromisoformat(document["day"]),
        window=DayWindow(
            zone_offset=timedelta(seconds=window["zone_offset_s"]),
            cut=timedelta(seconds=window["cut_s"]),
            margin=timedelta(seconds=window["margin_s"]),
            rolls=window["rolls"],
            weekends=window["weekends"],
            holidays=tuple(map(date.fromisoformat, window["holidays"])),
            workdays=tuple(map(date.fromisoformat, window["workdays"])),
        ),
        layers=tuple(_layer(layer) for layer in document["layers"]),
        inputs=tuple(
            InputFile(**file | {"source": FileSource(file["source"]), "day": date.fromisoformat(file["day"])})
            for file in document["inputs"]
        ),
        engine=document["engine"],
        version=document["version"],
        rows=document["rows"],
        results=document["results"],
        totals=document["totals"],
    )


def layer_document(layer: LayerDefinition) -> dict[str, Any]:
    """Return a layer as JSON, the same in every process."""
    return {
        "layer": layer.layer.value,
        "ours": layer.ours.value,
        "theirs": layer.theirs.value,
        "kinds": sorted(layer.kinds),
        "key": layer.key,
        "second_key": layer.second_key,
        "group": layer.group,
        "compared": list(layer.compared),
        "tolerance": dict(layer.tolerance),
        "rolls": layer.rolls,
    }


def _layer(document: dict[str, Any]) -> LayerDefinition:
    return replace(
        LAYERS[Layer(document["layer"])],
        ours=SideSource(document["ours"]),
        theirs=SideSource(document["theirs"]),
        kinds=frozenset(RowKind(kind) for kind in document["kinds"]),
        key=document["key"],
        second_key=document["second_key"],
        group=document["group"],
        compared=tuple(document["compared"]),
        tolerance=document["tolerance"],
        rolls=document["rolls"],
    )


def _seconds(length: timedelta) -> int:
    return length // timedelta(seconds=1)
