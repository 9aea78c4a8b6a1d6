"""`hutong recon layouts` lists, shows and tries layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import run_here

BANK = (
    "Account,Date,Currency,Credit,Debit,Reference,Memo\nCN12,2026-03-01,CNY,1.50,,T1,net\nCN12,2026-03-01,CNY,x,,T2,\n"
)


def test_layouts_are_listed_and_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    done = run_here(monkeypatch, capsys, "recon", "layouts", "--json")
    assert "wechat_trade" in [layout["name"] for layout in json.loads(done.stdout)["layouts"]]
    done = run_here(monkeypatch, capsys, "recon", "layouts", "wechat_trade")
    assert "应结订单金额" in done.stdout


def test_file_is_tried_on_a_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bank.csv"
    file.write_text(BANK)
    done = run_here(monkeypatch, capsys, "recon", "layouts", "bank_csv", "--check", str(file), "--json")
    document = json.loads(done.stdout)
    assert (document["rows"], document["exceptions"], document["faults"][0]["line"]) == (1, 1, 3)
    assert document["totals"]["entry"]["CNY"]["settled"] == 150


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing"], "there is no layout"),
        (["--check", "x"], "needs the NAME"),
        (["bank_csv", "--check", "x"], "no file"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run_here(monkeypatch, capsys, "recon", "layouts", *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
