"""`hutong recon generate` writes a folder and prints what is planted in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import run_here


def test_generated_folder_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = [
        "--rows",
        "640",
        "--seed",
        "1",
        "--channel",
        "wechat",
        "--halves",
        "--plain",
        "--out",
        str(out),
        "--json",
    ]
    done = run_here(monkeypatch, capsys, "recon", "generate", *options)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["counts"]["missing"] > 0
    assert [account["channel"] for account in document["accounts"]] == ["wechat"]
    for file in document["files"]:
        assert (out / file["path"]).read_bytes().startswith(b"\xef\xbb\xbf")
    assert (out / "key.parquet").exists()


@pytest.mark.parametrize("rows", ["0", "-1", "1.5", "3"])
def test_too_few_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rows: str
) -> None:
    out = tmp_path / "out"
    done = run_here(monkeypatch, capsys, "recon", "generate", "--rows", rows, "--seed", "1", "--out", str(out))
    assert done.returncode == 2
    assert not out.exists()
