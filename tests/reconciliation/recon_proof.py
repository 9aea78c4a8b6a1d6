"""`make recon-proof`: generated business is reconciled, and exactly what was planted must be found.

make recon-proof                      a million rows, every engine that is installed, 200 kills
make recon-proof ROWS=20000 KILLS=10 SEED=7
make recon-proof PART=bookings        one of: classes, spark, repetition, deliveries, correction, kills, bookings

Spark takes fifteen times the work of the others and has at most 100,000 rows. The last line is `proved`, or what is
wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb

from hutong import __version__
from hutong.reconciliation.archive import RunFolder, sha256_of
from hutong.reconciliation.computation import KNOWN, Limits, carry_over, match_layers
from hutong.reconciliation.generate import ACCOUNTS, AccountPlan, AnswerKey, GeneratedFile, Options, generate
from hutong.reconciliation.layers import LAYERS, LayerDefinition, SideSource
from hutong.reconciliation.manifest import InputFile, Manifest
from hutong.reconciliation.matching import engine
from hutong.reconciliation.model import FileSource, Layer
from hutong.reconciliation.parsing import normalise_inputs

LIMITS = Limits(memory_mb=384)
BILL_LAYERS = tuple(LAYERS[layer] for layer in (Layer.PAYMENT_BILL, Layer.REFUND_BILL, Layer.DISPUTE_BILL))
Answer = tuple[str, ...]


def layers_of(plan: AccountPlan) -> tuple[LayerDefinition, ...]:
    """The layers that a channel's bills have rows for."""
    return tuple(layer for layer in BILL_LAYERS if plan.has_disputes or layer.layer is not Layer.DISPUTE_BILL)


def engines() -> list[str]:
    """The engines that can run here, but for Spark."""
    found = ["fingerprint", "one_sql"]
    if find_spec("ibis"):
        found.append("ibis_duckdb")
    return found


def prove_spark(rows: int, seed: int, folder: Path) -> None:
    """Hold that Spark gives what the fingerprints give, where it is installed."""
    if find_spec("pyspark") and shutil.which("java"):
        prove_classes(min(rows, 100_000), seed, folder, ["fingerprint", "spark"])
    else:
        print("Spark is not installed: `make spark`", flush=True)


def reconcile(
    key: AnswerKey,
    folder: Path,
    name: str,
    files: Sequence[GeneratedFile],
    *,
    tolerance: Mapping[str, int] | None = None,
) -> None:
    """Run every day of every account, and one day without business after them, in which nothing waits any longer."""
    days = [*key.days, key.days[-1] + timedelta(days=1)]
    for plan in key.accounts:
        previous = RunFolder(folder, plan.account, date.min)
        for day in days:
            today = RunFolder(folder, plan.account, day)
            of_day = [file for file in files if (file.account, file.day) == (plan.account, day)]
            previous = run_one(key, plan, today, previous, of_day, name, tolerance or {})


def run_one(
    key: AnswerKey,
    plan: AccountPlan,
    today: RunFolder,
    previous: RunFolder,
    files: Sequence[GeneratedFile],
    name: str,
    tolerance: Mapping[str, int],
) -> RunFolder:
    shutil.rmtree(today.path / "rows", ignore_errors=True)
    made = RunFolder(key.folder, plan.account, today.day)
    rows = today.rows(SideSource.JOURNAL).parent
    rows.mkdir(parents=True)
    if made.path.exists():
        os.link(made.rows(SideSource.JOURNAL), today.rows(SideSource.JOURNAL))
    # What is known and not booked is asked anew on each day, for all that the bills of earlier days have named too.
    known = [
        path
        for path in sorted((key.folder / plan.account).glob("*/rows/known.parquet"))
        if path.parts[-3] <= str(today.day)
    ]
    with duckdb.connect() as duck:
        duck.execute(
            f"COPY (FROM (SELECT DISTINCT * FROM read_parquet({[str(path) for path in known]})) ORDER BY line) "
            f"TO '{rows / KNOWN}' (FORMAT parquet)"
        )
    today.inputs.mkdir(exist_ok=True)
    inputs = []
    for generated in files:
        original, path = key.folder / generated.path, today.inputs / Path(generated.path).name
        if not path.exists():
            os.link(original, path)
        digest, size = sha256_of(path), path.stat().st_size
        entry = InputFile(
            path.name, digest, size, generated.layout, FileSource.BILL, "", today.day, plan.number
        )  # fmt: skip
        inputs.append(entry)
    layers = tuple(replace(layer, tolerance=dict(tolerance)) for layer in layers_of(plan))
    manifest = Manifest(plan.account, plan.channel, today.day, plan.window, layers, tuple(inputs), name, __version__)
    normalise_inputs(today, manifest, LIMITS)
    carry_over(previous, today, layers, LIMITS)
    match_layers(today, manifest, engine(name), LIMITS).write(today.manifest)
    return today


def results(folder: Path) -> dict[str, str]:
    """Return the digests of all results."""
    return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.glob("*/*/results/*.parquet"))}


def found(key: AnswerKey, folder: Path) -> list[Answer]:
    """Return the differences that are open after the last day."""
    last = key.days[-1] + timedelta(days=1)
    rows: list[Answer] = []
    for plan in key.accounts:
        for layer in layers_of(plan):
            path = RunFolder(folder, plan.account, last).differences(layer.layer)
            query = f"FROM '{path}' SELECT side, key, class, \"column\", amount::VARCHAR"
            with duckdb.connect() as duck:
                rows += [(plan.account, layer.layer.value, *row) for row in duck.execute(query).fetchall()]
    return sorted(rows)


def matched_ways(key: AnswerKey, folder: Path) -> list[Answer]:
    """Return how the payments of each account were matched, over all days: each way once."""
    ways: list[Answer] = []
    with duckdb.connect() as duck:
        for plan in key.accounts:
            files = [
                str(path) for path in sorted((folder / plan.account).glob("*/results/payment_bill.matched.parquet"))
            ]
            query = f"SELECT DISTINCT quality FROM read_parquet({files})"
            ways += [(plan.account, way) for (way,) in duck.execute(query).fetchall()]
    return sorted(ways)


def _ways(key: AnswerKey) -> list[Answer]:
    """Each account has equal twins, and rows that its own midnight parts: in Beijing, at 23:00 there, or in UTC."""
    return sorted((plan.account, way) for plan in key.accounts for way in ("cross_day", "exact", "twin"))


def planted(key: AnswerKey, condition: str) -> list[Answer]:
    """Return the answers that a condition selects."""
    query = (
        f"FROM '{key.folder / 'key.parquet'}' SELECT account, layer, side, key, class, \"column\", amount::VARCHAR "
        f"WHERE layer <> 'batch_bank' AND {condition}"
    )
    with duckdb.connect() as duck:
        return sorted(duck.execute(query).fetchall())


def check(
    name: str, is_equal: Sequence[Answer] | Mapping[str, str], expected: Sequence[Answer] | Mapping[str, str]
) -> None:
    """Hold that two things are equal."""
    if is_equal != expected:
        different = sorted(set(_items(is_equal)) ^ set(_items(expected)))
        raise AssertionError(f"{name}: {len(different)} differ, the first is {different[0] if different else 'twice'}")
    print(f"{time.strftime('%H:%M:%S')} {name}: {len(expected)} equal", flush=True)


def _items(values: Sequence[Answer] | Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    yield from values.items() if isinstance(values, Mapping) else values


def prove_classes(
    rows: int, seed: int, folder: Path, names: Sequence[str], channels: Sequence[str] = tuple(ACCOUNTS)
) -> None:
    """Hold that the differences are those of the key, on every engine the same, and by a second run unchanged."""
    key = generate(rows, seed, folder / "made", Options(channels=channels))
    whole: dict[str, str] = {}
    for name in names:
        out = folder / name
        reconcile(key, out, name, key.files)
        check(f"{name} and the key", found(key, out), planted(key, "at_first"))
        check(f"{name}, twins and both sides of midnight", matched_ways(key, out), _ways(key))
        whole = whole or results(out)
        check(f"{name} and {names[0]}, byte for byte", results(out), whole)


def prove_repetition(rows: int, seed: int, folder: Path) -> None:
    """Hold that a second run changes nothing, and that a tolerance takes away what lies within it."""
    key = generate(rows, seed, folder / "made")
    out = folder / "out"
    reconcile(key, out, "fingerprint", key.files)
    once = results(out)
    reconcile(key, out, "fingerprint", key.files)
    check("run again", results(out), once)
    reconcile(key, folder / "tolerant", "fingerprint", key.files, tolerance={"fee": 1})
    expected = planted(key, "plant <> 'fee_by_one' AND at_first")
    check("a tolerance of one in the fee", found(key, folder / "tolerant"), expected)


def prove_deliveries(rows: int, seed: int, folder: Path) -> None:
    """Hold that a late bill and one in halves come to the same as a whole one in time."""
    whole = generate(rows, seed, folder / "whole")
    halves = generate(rows, seed, folder / "halved", Options(halves=True))
    reconcile(halves, folder / "halves", "fingerprint", halves.files)
    check("in halves", found(halves, folder / "halves"), planted(whole, "at_first"))
    late = generate(rows, seed, folder / "made_late", Options(late=True))
    out = folder / "late"
    reconcile(late, out, "fingerprint", [file for file in late.files if file.day == file.comes_on])
    assert found(late, out) != planted(whole, "at_first")
    reconcile(late, out, "fingerprint", late.files)
    check("late", found(late, out), planted(whole, "at_first"))


def prove_correction(rows: int, seed: int, folder: Path, options: Options) -> None:
    """Hold that a bill which is corrected comes to what the corrected one states."""
    key = generate(rows, seed, folder / "made", replace(options, restated=True))
    out = folder / "out"
    reconcile(key, out, "fingerprint", [file for file in key.files if not file.restates])
    check("before it is corrected", found(key, out), planted(key, "at_first"))
    corrected = {(file.account, file.day) for file in key.files if file.restates}
    last = [file for file in key.files if file.restates or (file.account, file.day) not in corrected]
    reconcile(key, out, "fingerprint", last)
    check("corrected", found(key, out), planted(key, "in_the_end"))


def prove_kills(rows: int, seed: int, folder: Path, kills: int, *, days: int = 2) -> None:
    """Hold that a run which is killed at random points and started again comes to the same."""
    made = folder / "made"
    key = generate(rows, seed, made, Options(channels=("wechat",), days=days))
    started = time.monotonic()
    _child(key, folder / "once").wait()
    took, expected, dice = time.monotonic() - started, results(folder / "once"), random.Random(seed)
    out = folder / "killed"
    for _ in range(kills):
        child = _child(key, out)
        try:
            child.wait(took * dice.random())
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
    assert _child(key, out).wait() == 0
    check(f"{kills} kills", results(out), expected)
    check("after kills, and the key", found(key, out), planted(key, "at_first"))


def _prove_bookings(seed: int, folder: Path, kills: int) -> None:
    # Here, because children that compute alone need nothing of the database.
    from booking_proof import prove_bookings

    prove_bookings(seed, folder, kills, kills // 4)


def _child(key: AnswerKey, out: Path) -> subprocess.Popen[bytes]:
    arguments = ["--child", str(out), "--rows", str(key.rows), "--seed", str(key.seed), "--made", str(key.folder)]
    return subprocess.Popen([sys.executable, __file__, *arguments])


def _run_as_child(asked: argparse.Namespace) -> None:
    """Run the generated folder of a parent, of which the files follow from the rows and the seed."""
    made = Path(asked.made)
    plan = ACCOUNTS["wechat"]
    days = sorted(date.fromisoformat(path.name) for path in (made / plan.account).iterdir())
    files = [
        GeneratedFile(str(path.relative_to(made)), plan.account, plan.layout, day, day, 0)
        for day in days
        for path in sorted((made / plan.account / day.isoformat() / "inputs").iterdir())
    ]
    key = AnswerKey(made, asked.rows, asked.seed, tuple(days), (plan,), tuple(files), ())
    reconcile(key, Path(asked.child), "fingerprint", files)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=200, help="in runs of at most 20,000 rows")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--part", help="one part alone, by its name")
    parser.add_argument("--folder", type=Path, help="where the files are made")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--made", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _run_as_child(asked)
        return 0
    with tempfile.TemporaryDirectory(prefix="recon-proof-", dir=asked.folder) as made:
        for name, prove in (
            ("classes", lambda folder: prove_classes(asked.rows, asked.seed, folder, engines())),
            ("spark", lambda folder: prove_spark(asked.rows, asked.seed, folder)),
            ("repetition", lambda folder: prove_repetition(asked.rows, asked.seed, folder)),
            ("deliveries", lambda folder: prove_deliveries(asked.rows, asked.seed, folder)),
            ("correction", lambda folder: prove_correction(asked.rows, asked.seed, folder, Options())),
            ("kills", lambda folder: prove_kills(min(asked.rows, 20_000), asked.seed, folder, asked.kills)),
            ("bookings", lambda folder: _prove_bookings(asked.seed, folder, asked.kills)),
        ):
            if asked.part not in (None, name):
                continue
            folder = Path(made) / name
            folder.mkdir()
            prove(folder)
            shutil.rmtree(folder)
    print("proved")
    return 0


if __name__ == "__main__":
    sys.exit(main())
