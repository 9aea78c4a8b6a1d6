"""The baseline: PostgreSQL's own benchmark on the same server in the same run."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from hutong import app, db

_DATABASE = "hutong_baseline"


def tpcb_tps(settings: app.Settings, url: str, *, scale: int, clients: int, seconds: int) -> float:
    """Return the transactions per second of pgbench's TPC-B, in a temporary database."""
    pgbench = str(db.EmbeddedServer(settings.home).binary("pgbench"))
    parts = urlsplit(url)
    target = urlunsplit(parts._replace(path=f"/{_DATABASE}"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(_DATABASE)))
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(_DATABASE)))
        try:
            subprocess.run([pgbench, "-i", "-q", "-s", str(scale), target], check=True, capture_output=True)
            timed = subprocess.run(
                [pgbench, "-n", "-c", str(clients), "-j", "2", "-T", str(seconds), "-M", "prepared", target],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(_DATABASE)))
    rate = re.search(r"tps = ([0-9.]+)", timed.stdout)
    assert rate is not None, timed.stdout
    return float(rate[1])
