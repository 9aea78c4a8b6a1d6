"""Anybody can compute a run again from its files, and finds whatever was changed in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from hutong.cli.main import app
from hutong.errors import InvariantBroken, NotFound
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.model import Layer
from hutong.reconciliation.verify import Finding, verify_day
from reconciliation.kept_days import ACCOUNT, DAYS, LIMITS, keep_days, sign_again


@pytest.fixture(scope="module")
def kept_once(tmp_path_factory: pytest.TempPathFactory) -> Sequence[RunFolder]:
    return keep_days(tmp_path_factory.mktemp("kept") / "days")


@pytest.fixture
def kept(kept_once: Sequence[RunFolder], tmp_path: Path) -> Sequence[RunFolder]:
    """Two days of one's own to change."""
    shutil.copytree(kept_once[0].root, tmp_path / "days")
    return [RunFolder(tmp_path / "days", each.account, each.day) for each in kept_once]


def verified(kept: Sequence[RunFolder], *, from_carry: bool = False) -> Finding | None:
    return verify_day(kept[-1].root, ACCOUNT, kept[-1].day, from_carry=from_carry, limits=LIMITS).finding


def change(path: Path, statement: str) -> None:
    """Write a file of rows again, after a change to its table `t`."""
    with duckdb.connect() as duck:
        duck.execute(f"CREATE TABLE t AS FROM read_parquet('{path}')")
        duck.execute(statement)
        duck.execute(f"COPY t TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


@pytest.mark.parametrize("from_carry", [False, True])
def test_what_a_run_has_kept_agrees_with_its_files(kept: Sequence[RunFolder], from_carry: bool) -> None:
    assert verified(kept, from_carry=from_carry) is None
    assert duckdb.sql(f"FROM read_parquet('{kept[0].carry(SideSource.BILL)}')").fetchall(), "nothing is carried"


def test_a_byte_that_was_changed_in_an_original_is_found(kept: Sequence[RunFolder]) -> None:
    (path,) = kept[0].inputs.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    finding = verified(kept)
    assert finding is not None
    assert (finding.file, finding.line) == (path, 0)
    assert "SHA-256" in finding.reason
    sign_again(kept[0])
    finding = verified(kept)
    assert finding is not None, "a manifest that was signed again does not hide it"


@pytest.mark.parametrize("signed", [False, True])
def test_a_figure_that_was_changed_in_the_journal_is_found(kept: Sequence[RunFolder], signed: bool) -> None:
    change(kept[0].rows(SideSource.JOURNAL), "UPDATE t SET settled = settled + 1 WHERE line = 5")
    if signed:
        sign_again(kept[0])
    finding = verified(kept)
    assert finding is not None
    if signed:
        assert finding.line > 0
        assert finding.file.parent.name == "results"
    else:
        assert (finding.file, finding.reason) == (
            kept[0].rows(SideSource.JOURNAL),
            "its SHA-256 is not that of the manifest",
        )


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("payment_bill.matched", "UPDATE t SET fee = fee + 1 WHERE rowid = 3"),
        ("payment_bill.differences", "DELETE FROM t WHERE rowid = 1"),
        ("refund_bill.differences", "UPDATE t SET class = 'unexpected' WHERE rowid = 0"),
        ("carry-bill", "DELETE FROM t WHERE rowid = 0"),
    ],
)
def test_a_row_that_was_changed_in_the_results_is_found(kept: Sequence[RunFolder], name: str, statement: str) -> None:
    path = kept[0].path / "results" / f"{name}.parquet"
    change(path, statement)
    sign_again(kept[0])
    finding = verified(kept)
    assert finding is not None
    assert finding.file == path
    assert finding.line == int(statement.rpartition(" ")[2]) + 1
    assert str(finding).startswith(f"{path}:{finding.line}: ")


def test_rows_that_wait_are_computed_from_the_days_before_or_taken_as_kept(kept: Sequence[RunFolder]) -> None:
    change(kept[1].carried(SideSource.BILL), "DELETE FROM t WHERE rowid = 0")
    sign_again(kept[1])
    finding = verified(kept)
    assert finding is not None
    assert finding.file == kept[1].carried(SideSource.BILL)
    finding = verified(kept, from_carry=True)
    assert finding is not None
    assert finding.file.parent.name == "results"


def test_totals_and_files_that_are_none_of_the_runs_are_found(kept: Sequence[RunFolder]) -> None:
    stranger = kept[1].path / "results" / "other.parquet"
    shutil.copyfile(kept[1].matched(Layer.PAYMENT_BILL), stranger)
    finding = verified(kept)
    assert finding == Finding(stranger, 0, "the file is not one of the run's")
    stranger.unlink()
    manifest = json.loads(kept[1].manifest.read_text())
    manifest["totals"]["payment_bill"] = {}
    kept[1].manifest.write_text(json.dumps(manifest))
    finding = verified(kept)
    assert finding is not None
    assert finding.file == kept[1].manifest
    kept[1].manifest.write_text("{}")
    with pytest.raises(InvariantBroken):
        verified(kept)
    kept[1].manifest.unlink()
    with pytest.raises(NotFound):
        verified(kept)


def test_the_command_needs_no_database_and_tells_the_first_row(
    kept: Sequence[RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HUTONG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HUTONG_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    command = ["recon", "verify", DAYS[1].isoformat(), "--folder", str(kept[0].root)]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["verified"][0]["agrees"] is True
    path = kept[0].matched(Layer.PAYMENT_BILL)
    change(path, "UPDATE t SET settled = 0 WHERE rowid = 6")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert f"{path}:7: it has settled=0" in result.stderr
    result = CliRunner().invoke(app, ["recon", "verify", "2026-01-01", "--folder", str(kept[0].root)])
    assert result.exit_code == 2
