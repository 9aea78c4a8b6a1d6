"""`hutong db destroy` removes what belongs to a data folder, or to none any more, and nothing else."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from hutong.db import EmbeddedServer
from hutong.db import embedded_system as system
from hutong.db.embedded_files import read_place
from support import let_through
from support.command_line import Run, run_here


@pytest.fixture
def system_folder(embedded: EmbeddedServer, short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system folder of the test's own. The programs were found before, wherever they are."""
    assert embedded.running()
    folder = short_folder / "system"
    monkeypatch.setattr(system, "SYSTEM_FOLDER", folder)
    let_through(system.system_folder())
    return folder


@pytest.fixture
def home(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder that the server's user cannot reach."""
    private = short_folder / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setenv("HUTONG_HOME", str(private / "home"))
    monkeypatch.delenv("HUTONG_DATABASE_URL", raising=False)
    yield private / "home"
    EmbeddedServer(private / "home").stop(unless_used=False)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return partial(run_here, monkeypatch, capsys)


def test_the_cluster_is_deleted_once_it_is_down_and_somebody_agrees(
    home: Path, system_folder: Path, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedServer(home)
    server.start()
    place = read_place(home)
    assert place is not None
    if os.geteuid() == 0:
        assert place.folder.parent == system_folder
        assert system.recorded_home(place.folder) == home
    (home / "secret.key").write_text("kept")
    (home / "demo.json").write_text("{}")

    running = command("db", "destroy", "--yes")
    assert running.returncode == 2
    assert "runs; stop Hutong, then `hutong db stop`" in running.stderr
    assert server.running()
    server.stop()

    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    refused = command("db", "destroy")
    assert refused.returncode == 2
    assert f"the database of {home}" in refused.stdout
    assert "nothing was deleted" in refused.stderr
    assert place.data.exists()

    done = command("db", "destroy", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"deleted {place.folder}" in done.stdout
    assert list(system_folder.iterdir()) == []
    assert not place.folder.exists()
    assert sorted(file.name for file in home.iterdir()) == ["postgres.lock", "postgres.users", "secret.key"]
    assert command("db", "destroy", "--yes").stdout == f"there is no database in {home}\n"


def test_a_folder_that_is_not_the_servers_is_not_deleted(home: Path, command: Run, tmp_path: Path) -> None:
    (tmp_path / "precious" / "data").mkdir(parents=True)
    home.mkdir()
    stored = {"folder": str(tmp_path / "precious"), "socket_folder": "postgres/run", "password": "x"}
    (home / "postgres.json").write_text(json.dumps(stored))
    done = command("db", "destroy", "--yes")
    assert done.returncode == 1
    assert "is no folder of this server" in done.stderr
    assert (tmp_path / "precious" / "data").exists()


@pytest.fixture
def make_cluster(system_folder: Path, tmp_path: Path) -> Callable[[str, Path | None, Path | None], Path]:
    def make(name: str, recorded: Path | None, used_by: Path | None) -> Path:
        folder = system_folder / f"server-{name}"
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "PG_VERSION").write_text("18\n")
        if recorded is not None:
            system.record_home(folder, recorded)
        if used_by is not None:
            used_by.mkdir()
            (used_by / "postgres.json").write_text(json.dumps({"folder": str(folder)}))
        return folder

    return make


def test_clusters_without_a_data_folder_are_listed_and_deleted(
    make_cluster: Callable[[str, Path | None, Path | None], Path], system_folder: Path, tmp_path: Path, command: Run
) -> None:
    gone = make_cluster("gone", tmp_path / "deleted", None)
    kept = [
        make_cluster("used", tmp_path / "here", tmp_path / "here"),
        make_cluster("unknown", None, None),
    ]
    copy = system_folder / "postgresql-0.1"
    copy.mkdir()
    done = command("db", "destroy", "--orphans", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{gone}  0 MB  a cluster whose data folder {tmp_path / 'deleted'} is gone" in done.stdout
    assert [folder.exists() for folder in (gone, copy, *kept)] == [False, False, True, True]
    assert not system.home_record(gone).exists()
    assert command("db", "destroy", "--orphans").stdout == "there are none\n"


def test_what_interrupted_starts_have_left_is_removed_and_nothing_else(system_folder: Path) -> None:
    for name in ("hutong-old", "hutong-new", "hutong-used", "server-empty", "server-used", "tmpcopy", "tmpother"):
        (system_folder / name).mkdir()
    for name in ("hutong-used/socket", "server-used/data", "tmpcopy/wheel", "tmpother/else"):
        (system_folder / name).mkdir()
    long_ago = time.time() - 7200
    for folder in system_folder.iterdir():
        if folder.name != "hutong-new":
            os.utime(folder, (long_ago, long_ago))
    system.remove_interrupted()
    assert sorted(folder.name for folder in system_folder.iterdir()) == [
        "hutong-new", "hutong-used", "server-used", "tmpother",
    ]  # fmt: skip
