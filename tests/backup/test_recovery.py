"""Backups made while the books are written, restored to any point: what was booked up to it is there, nothing later."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import psutil
import psycopg
import pytest

from hutong.db import EmbeddedServer
from hutong.db import embedded_system as system
from hutong.errors import ConfigurationError
from support.command_line import Run
from support.fixtures.backups import Installation, book_some, wait_until


def booked(installation: Installation, command: Run) -> set[int]:
    """The ids of all transfers, after the books were verified."""
    server = installation.server
    with psycopg.connect(server.start()) as connection:
        done = command("ledger", "verify")
        assert done.returncode == 0, done.stdout
        ids = {row[0].int for row in connection.execute("SELECT id FROM ledger.transfer")}
    server.stop(unless_used=False)
    return ids


def restored(installation: Installation, command: Run, *arguments: str) -> dict[str, object]:
    done = command("backup", "restore", str(installation.folder), "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def cluster(installation: Installation) -> Path:
    return installation.server._place().data


def test_payments_continue_while_a_backup_is_made(pristine: Installation) -> None:
    assert pristine.during > 20
    assert pristine.created["size_bytes"] == sum(
        path.stat().st_size
        for path in pristine.base().rglob("*")
        if path.is_file() and path.name != "backup_manifest" and "pg_wal" not in path.parts
    )
    high, low = (int(part, 16) for part in pristine.created["end_lsn"].split("/"))
    assert pristine.segments()[0].name <= f"00000001{high:08X}{low >> 24:08X}" <= pristine.segments()[-1].name


def test_without_a_time_everything_is_restored_and_the_previous_database_is_kept(
    installation: Installation, command: Run
) -> None:
    previous = (cluster(installation) / "global" / "pg_control").read_bytes()
    result = restored(installation, command, "--replace")
    assert booked(installation, command) == {*installation.before, *installation.after}
    assert result["timeline"] == 2
    assert (Path(str(result["replaced"])) / "global" / "pg_control").read_bytes() == previous
    record = json.loads((installation.home / "restored.json").read_text())
    assert record.pop("restored_at")
    assert record == result
    assert stat_mode(installation.home / "restored.json") == 0o600


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_time_between_two_bookings_separates_them_on_a_new_machine(installation: Installation, command: Run) -> None:
    shutil.copy(installation.home / "secret.key", installation.home.parent)
    shutil.rmtree(cluster(installation).parent)
    shutil.rmtree(installation.home)
    installation.home.mkdir(mode=0o711)
    shutil.copy(installation.home.parent / "secret.key", installation.home)
    result = restored(installation, command, "--to", installation.between.isoformat())
    assert result["replaced"] is None
    assert booked(installation, command) == set(installation.before)
    # The new data folder is no second writer of the archive that it was restored from.
    with pytest.raises(ConfigurationError, match="another data folder archives to"):
        EmbeddedServer(installation.home, archive=installation.folder).start()


def test_a_restored_database_archives_on_and_both_its_futures_can_be_restored(
    installation: Installation, command: Run
) -> None:
    restored(installation, command, "--replace", "--to", installation.between.isoformat())
    server = EmbeddedServer(installation.home, archive=installation.folder)
    later = book_some(server.start(), 3)
    server.stop(unless_used=False)
    done = command("backup", "verify", str(installation.folder), "--json")
    (verified,) = json.loads(done.stdout)["backups"]
    assert (done.returncode, verified["faults"], verified["latest_timeline"]) == (0, [], 2)
    gap = installation.between + (datetime.fromisoformat(verified["recoverable_to"]) - installation.between) / 2
    done = command("backup", "restore", str(installation.folder), "--replace", "--to", gap.isoformat())
    assert (done.returncode, "name the timeline to follow with --timeline (--to)" in done.stderr) == (2, True)
    assert restored(installation, command, "--replace")["timeline"] == 3
    assert booked(installation, command) == {*installation.before, *later}
    restored(installation, command, "--replace", "--timeline", "1")
    assert booked(installation, command) == {*installation.before, *installation.after}


def test_what_a_crashed_server_had_not_archived_is_restored_too(installation: Installation, command: Run) -> None:
    server = EmbeddedServer(installation.home, archive=installation.folder)
    later = book_some(server.start(), 3)
    archived = {path.name for path in installation.segments()}
    killed = [process for processes in system.postgres_processes(cluster(installation)) for process in processes]
    for process in killed:
        process.kill()
    server.leave()
    # Until nobody has taken note of its end, PostgreSQL takes a dead process for one that holds the socket.
    wait_until(lambda: not any(psutil.pid_exists(process.pid) for process in killed))
    assert {path.name for path in installation.segments()} == archived
    restored(installation, command, "--replace")
    assert booked(installation, command) == {*installation.before, *installation.after, *later}


@pytest.mark.parametrize("phase", ["copying", "recovering", "recovered"])
def test_a_killed_restore_leaves_no_database_in_use_and_is_repeated(
    installation: Installation, command: Run, phase: str
) -> None:
    place = installation.server._place()
    arguments = [sys.executable, "-m", "hutong", "backup", "restore", str(installation.folder), "--replace"]
    running = subprocess.Popen(arguments, env=installation.environment())
    sign = "restoring-*/PG_VERSION" if phase == "copying" else "restoring-*/postmaster.pid"
    wait_until(lambda: list(place.folder.glob(sign)))
    running.kill()
    running.wait()
    (half,) = place.folder.glob("restoring-*")
    if phase == "recovered":  # the server goes on without the command, and is ready in the end
        wait_until(lambda: system.says_ready(half / "postmaster.pid"))
    assert not installation.server.running()
    with pytest.raises(ConfigurationError, match="run `hutong backup restore` again"):
        installation.server.start()
    restored(installation, command, "--replace")
    assert not half.exists()
    assert not any(system.postgres_processes(half))
    assert booked(installation, command) == {*installation.before, *installation.after}


def test_an_interrupted_restore_changes_nothing(installation: Installation, command: Run) -> None:
    place = installation.server._place()
    arguments = [sys.executable, "-m", "hutong", "backup", "restore", str(installation.folder), "--replace"]
    running = subprocess.Popen(arguments, env=installation.environment())
    wait_until(lambda: list(place.folder.glob("restoring-*/postmaster.pid")))
    running.send_signal(signal.SIGTERM)
    assert running.wait(240) != 0
    assert list(place.folder.glob("re*-*")) == []
    assert booked(installation, command) == {*installation.before, *installation.after}


# Refusals


def replace_file(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def refused(idle: Installation, command: Run, *arguments: str, status: int = 2) -> str:
    """The reason of a refusal, which changed nothing."""

    def state() -> list[tuple[str, int]]:
        folder = cluster(idle).parent
        return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.name != "run")

    before = state()
    done = command("backup", "restore", str(idle.folder), *arguments)
    assert done.returncode == status
    assert state() == before
    assert not idle.server.restoring.exists()
    assert not (idle.home / "restored.json").exists()
    (line,) = done.stderr.splitlines()
    return line


def test_a_running_server_refuses_a_restore(installation: Installation, command: Run) -> None:
    server = installation.server
    server.start()
    done = command("backup", "restore", str(installation.folder), "--replace")
    assert (done.returncode, done.stdout) == (2, "")
    assert "runs; stop Hutong" in done.stderr
    assert server.pid() is not None


def test_an_existing_database_is_not_replaced_unasked(idle: Installation, command: Run) -> None:
    assert "--replace renames it" in refused(idle, command)


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("2026-03-31T12:00:00", "the time must have a zone"),
        ("yesterday", "the time must be like"),
        ("2001-01-01T00:00:00Z", "nothing earlier can be restored"),
        ("2999-01-01T00:00:00+08:00", "the newest transaction in the log is of 20"),
    ],
)
def test_a_time_that_cannot_be_restored_is_refused(idle: Installation, command: Run, to: str, reason: str) -> None:
    line = refused(idle, command, "--replace", "--to", to)
    assert reason in line
    assert line.endswith("(--to)")


def test_a_time_within_the_backup_is_refused(idle: Installation, command: Run) -> None:
    document = json.loads((idle.base().parent / "backup.json").read_text())
    assert document["started_at"] < document["ended_at"]
    line = refused(idle, command, "--replace", "--to", document["started_at"])
    assert f"the first backup ended at {document['ended_at']}" in line


def test_an_unknown_timeline_is_refused(idle: Installation, command: Run) -> None:
    line = refused(idle, command, "--replace", "--timeline", "7")
    assert "there is no timeline 7; the newest is 1 (--timeline)" in line


def test_a_missing_or_wrong_secret_key_is_refused(idle: Installation, command: Run) -> None:
    file = idle.home / "secret.key"
    old = file.read_text()
    file.unlink()
    assert "there is no secret key" in refused(idle, command, "--replace", status=1)
    assert not file.exists()
    file.write_text("A" * 43 + "=\n")
    file.chmod(0o600)
    assert "are not configured; put them into HUTONG_SECRET_KEY" in refused(idle, command, "--replace", status=1)
    done = command("backup", "verify", str(idle.folder))
    assert (done.returncode, "1 of its 1 secret keys" in done.stdout) == (1, True)
    file.write_text("A" * 43 + "=\n" + old)  # rotated: the old key is still there
    assert command("backup", "verify", str(idle.folder)).returncode == 0


def test_no_key_is_in_the_backup(idle: Installation) -> None:
    key = (idle.home / "secret.key").read_bytes().strip()
    password = idle.server._place().password.encode()
    for path in idle.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert key not in content
            assert password not in content


def test_a_damaged_file_is_named_and_not_restored(idle: Installation, command: Run) -> None:
    path = max((path for path in idle.base().rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    replace_file(path, bytes(content))
    done = command("backup", "verify", str(idle.folder))
    name = path.relative_to(idle.folder)
    assert done.returncode == 1
    assert done.stdout.splitlines()[1:] == [f"      {name}: its content was changed"]
    assert f"{name}: its content was changed" in refused(idle, command, "--replace")


@pytest.mark.parametrize("harm", ["cut", "removed", "added", "manifest"])
def test_every_change_of_a_backup_is_named(idle: Installation, command: Run, harm: str) -> None:
    path = idle.base() / "global" / "pg_control"
    if harm == "cut":
        replace_file(path, path.read_bytes()[:100])
    elif harm == "removed":
        path.unlink()
    elif harm == "added":
        path = path.with_name("pg_extra")
        path.touch()
    else:
        path = idle.base() / "backup_manifest"
        replace_file(path, path.read_bytes().replace(b"8192", b"8193"))
    fault = {
        "cut": "100 bytes instead of 8192",
        "removed": "No such file or directory",
        "added": "it is not part of the backup",
        "manifest": "it was changed",
    }[harm]
    done = command("backup", "verify", str(idle.folder), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["backups"][0]["faults"] == [f"{path.relative_to(idle.folder)}: {fault}"]


def test_a_missing_segment_is_named_and_not_restored(idle: Installation, command: Run) -> None:
    high, low = (int(part, 16) for part in idle.created["end_lsn"].split("/"))
    segments = idle.segments()
    assert segments[-2].name >= f"00000001{high:08X}{low >> 24:08X}"
    segments[-2].unlink()
    done = command("backup", "verify", str(idle.folder))
    assert (done.returncode, done.stdout.splitlines()[1:]) == (1, [f"      wal/{segments[-2].name}: it is missing"])
    assert f"wal/{segments[-2].name}: it is missing" in refused(idle, command, "--replace")


@pytest.mark.parametrize("damaged", ["length", "link", "checksum", "content"])
def test_a_damaged_segment_is_named(idle: Installation, command: Run, damaged: str) -> None:
    one, other = idle.segments()[0], idle.segments()[-1]
    content = bytearray(other.read_bytes())
    rest = int.from_bytes(content[16:20], "little")  # of a record of the segment before, behind the header of 40 bytes
    first = 40 + (rest + 7) // 8 * 8
    content[first + {"length": 1, "link": 8, "checksum": 20, "content": 24}[damaged]] ^= 1
    replace_file(other, bytes(content))
    done = command("backup", "verify", str(idle.folder), "--json")
    (fault,) = json.loads(done.stdout)["backups"][0]["faults"]
    assert done.returncode == 1
    assert fault.startswith(f"wal/{other.name}: ")
    replace_file(other, one.read_bytes())
    done = command("backup", "verify", str(idle.folder), "--json")
    assert json.loads(done.stdout)["backups"][0]["faults"] == [
        f"wal/{other.name}: its content is that of another segment"
    ]


def test_a_folder_without_a_backup_is_refused(idle: Installation, command: Run, tmp_path: Path) -> None:
    done = command("backup", "verify", str(tmp_path))
    assert (done.returncode, done.stderr) == (2, f"hutong: not_found: there is no backup in {tmp_path} (FOLDER)\n")
    done = command("backup", "restore", str(tmp_path / "none"), "--replace")
    assert done.stderr == f"hutong: not_found: there is no folder {tmp_path / 'none'} (FOLDER)\n"


def test_a_database_of_ones_own_is_refused(idle: Installation, command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUTONG_DATABASE_URL", "postgresql://hutong@db.example/hutong")
    for verb in ("create", "restore"):
        done = command("backup", verb, str(idle.folder))
        assert done.returncode == 1
        assert "docs/guides/backup.md" in done.stderr
