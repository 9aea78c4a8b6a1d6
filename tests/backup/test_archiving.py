"""The archive, older backups, and what an operator sees of both."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from hutong.db import EmbeddedServer
from hutong.db.embedded_archive import server_options
from hutong.errors import ConfigurationError
from support.command_line import Run
from support.fixtures.backups import Installation


@pytest.fixture
def archiving(installation: Installation, monkeypatch: pytest.MonkeyPatch, command: Run) -> Installation:
    """A copy whose server archives, as that of an installation in use."""
    monkeypatch.setenv("HUTONG_BACKUP_FOLDER", str(installation.folder))
    return installation


def findings(command: Run) -> dict[str, tuple[bool, str]]:
    found = json.loads(command("doctor", "--json").stdout)["findings"]
    return {finding["name"]: (finding["ok"], finding["seen"]) for finding in found}


def archive(folder: Path, source: Path) -> int:
    """Archive a file as the server does, and return the exit status."""
    (command,) = [part for part in server_options(folder) if part.startswith("archive_command=")]
    text = command.partition("=")[2].replace("%p", str(source)).replace("%f", source.name).replace("%%", "%")
    return subprocess.run(["/bin/sh", "-c", text], check=False).returncode


def test_the_archive_command_never_replaces_a_different_file(tmp_path: Path) -> None:
    folder = tmp_path / "it's 100% ours; $(touch x)"
    (folder / "wal").mkdir(parents=True)
    segment = tmp_path / "000000010000000000000001"
    segment.write_bytes(b"one")
    assert archive(folder, segment) == 0
    assert archive(folder, segment) == 0
    segment.write_bytes(b"two")
    assert archive(folder, segment) != 0
    assert [(path.name, path.read_bytes()) for path in (folder / "wal").iterdir()] == [(segment.name, b"one")]


def test_older_backups_and_their_log_are_removed_and_never_the_last(archiving: Installation, command: Run) -> None:
    first = archiving.created["backup_id"]
    (archiving.folder / "backups" / "20260101T000000.000Z.unfinished").mkdir()  # of a killed command
    made = []
    server = EmbeddedServer(archiving.home, archive=archiving.folder)
    server.start()
    for _ in range(2):
        done = command("backup", "create", "--keep", "2", "--json")
        assert done.returncode == 0, done.stderr
        made.append(json.loads(done.stdout))
    server.leave()
    assert [document["removed"] for document in made] == [[], [first]]
    kept = sorted(path.name for path in (archiving.folder / "backups").iterdir())
    assert kept == [document["backup_id"] for document in made]
    high, low = (int(part, 16) for part in made[0]["start_lsn"].split("/"))
    assert archiving.segments()[0].name == f"00000001{high:08X}{low >> 24:08X}"
    assert command("backup", "verify").returncode == 0
    assert command("backup", "create", "--keep", "0").returncode == 2


def test_a_server_that_archives_nothing_or_elsewhere_is_not_backed_up(
    archiving: Installation, command: Run, tmp_path: Path
) -> None:
    done = command("backup", "create", str(tmp_path))
    assert (done.returncode, f"archives to {archiving.folder}; back up to that folder" in done.stderr) == (1, True)
    with_none = archiving.server  # started with "off"
    with_none.start()
    done = command("backup", "create")
    assert (done.returncode, "the running server archives nothing" in done.stderr) == (1, True)
    assert findings(command)["backup"] == (False, "the database archives to no folder until it is restarted")
    with_none.leave()
    assert len(list((archiving.folder / "backups").iterdir())) == 1


def test_the_folder_is_remembered_by_commands_without_the_setting(archiving: Installation) -> None:
    def folder(server: EmbeddedServer) -> str:
        with psycopg.connect(server.start()) as connection:
            row = connection.execute("SELECT coalesce(current_setting('hutong.backup_folder', TRUE), '')").fetchone()
        server.stop(unless_used=False)
        assert row is not None
        return str(row[0])

    EmbeddedServer(archiving.home, archive=archiving.folder).start()
    EmbeddedServer(archiving.home).stop(unless_used=False)
    assert folder(EmbeddedServer(archiving.home)) == str(archiving.folder)
    (archiving.folder / "archive.json").rename(archiving.folder / "aside")
    with pytest.raises(ConfigurationError, match="is it mounted"):
        EmbeddedServer(archiving.home).start()
    assert folder(EmbeddedServer(archiving.home, archive="off")) == ""
    assert folder(EmbeddedServer(archiving.home)) == ""


def test_a_failing_archive_is_reported_and_payments_continue(archiving: Installation, command: Run) -> None:
    server = EmbeddedServer(archiving.home, archive=archiving.folder)
    url = server.start()
    assert findings(command)["backup"][0] is True
    aside = archiving.folder / "aside"
    (archiving.folder / "wal").rename(aside)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_create_restore_point('test')")
        connection.execute("SELECT pg_switch_wal()")
        failed = "SELECT failed_count FROM pg_stat_archiver"
        while connection.execute(failed).fetchone() == (0,):
            connection.execute("SELECT pg_sleep(0.05)")
    ok, seen = findings(command)["backup"]
    assert (ok, seen.startswith("archiving fails; 1 segments wait since 20")) == (False, True)
    aside.rename(archiving.folder / "wal")
    server.leave()
