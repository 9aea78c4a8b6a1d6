"""Days as a run leaves them behind, computed from a generated business without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import hutong
from hutong.reconciliation import generate, matching
from hutong.reconciliation.archive import RunFolder, sha256_of
from hutong.reconciliation.computation import Limits, carry_over, match_layers
from hutong.reconciliation.layers import LAYERS
from hutong.reconciliation.manifest import InputFile, Manifest
from hutong.reconciliation.model import DayWindow, FileSource, Layer
from hutong.reconciliation.parsing import normalise_inputs

ACCOUNT = "acc_01vn10npay0000000000000000"
DAYS = (date(2026, 8, 3), date(2026, 8, 4))
LIMITS = Limits(256)
_LAYERS = (Layer.PAYMENT_BILL, Layer.REFUND_BILL)


def keep_days(root: Path, *, rows: int = 700, seed: int = 3) -> Sequence[RunFolder]:
    """Two days of a UnionPay account, with planted differences."""
    key = generate.generate(rows, seed, root, generate.Options(days=2, channels=("unionpay",))).document()
    (plan,) = key["accounts"]
    window = DayWindow(timedelta(seconds=plan["zone_offset_s"]), timedelta(seconds=plan["cut_s"]))
    folders = [RunFolder(root, ACCOUNT, day) for day in DAYS]
    for folder in folders:
        inputs = tuple(
            InputFile(
                path.name, sha256_of(path), path.stat().st_size, plan["layout"], FileSource.BILL, "bfl_test",
                folder.day, account=plan["number"],
            )
            for path in sorted(folder.inputs.iterdir())
        )  # fmt: skip
        layers = tuple(LAYERS[layer] for layer in _LAYERS)
        run(folder, Manifest(ACCOUNT, "unionpay", folder.day, window, layers, inputs, "one_sql", hutong.__version__))
    return folders


def run(folder: RunFolder, plan: Manifest) -> None:
    normalise_inputs(folder, plan, LIMITS)
    carry_over(RunFolder(folder.root, ACCOUNT, folder.day - timedelta(days=1)), folder, plan.layers, LIMITS)
    match_layers(folder, plan, matching.engine("one_sql"), LIMITS).write(folder.manifest)


def sign_again(folder: RunFolder) -> None:
    """Give the manifest the digests of what is there now, as somebody does who hides a change."""
    manifest = Manifest.read(folder.manifest)
    rows = {path.name: sha256_of(path) for path in (folder.path / "rows").glob("*.parquet")}
    results = {path.name: sha256_of(path) for path in (folder.path / "results").glob("*.parquet")}
    inputs = tuple(
        replace(file, sha256=sha256_of(folder.inputs / file.name), size=(folder.inputs / file.name).stat().st_size)
        for file in manifest.inputs
    )
    replace(manifest, rows=rows, results=results, inputs=inputs).write(folder.manifest)
