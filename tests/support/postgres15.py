"""A PostgreSQL 15 of the operating system, started for the tests in a temporary folder."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from support import let_through

BIN = Path("/usr/lib/postgresql/15/bin")


class Postgres15:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def available() -> bool:
        return (BIN / "postgres").exists()

    def __enter__(self) -> str:
        if os.geteuid() == 0:
            let_through(self.folder)
            os.chown(self.folder, self._user().pw_uid, -1)
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale")
        options = f"-c listen_addresses='' -k '{self.folder}' -c max_connections=200"
        self._run("pg_ctl", "start", "-w", "-l", str(self.folder / "log"), "-o", options)
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "fast")

    def _run(self, program: str, *arguments: str) -> None:
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            identity = {"user": self._user().pw_uid, "extra_groups": ()}
        subprocess.run(
            [str(BIN / program), "-D", str(self.folder / "data"), *arguments],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **identity,
        )  # fmt: skip

    @staticmethod
    def _user() -> pwd.struct_passwd:
        return pwd.getpwnam("postgres")
