"""An installation of a bench's own, in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hutong import app, db


@contextmanager
def temporary_settings() -> Iterator[app.Settings]:
    """Yield the settings, with a data folder that is deleted at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder:
        Path(folder).chmod(0o711)  # as root, servers run as users of their own, which must enter the folder
        settings = app.load_settings().model_copy(update={"log_level": "warning", "home": Path(folder) / "home"})
        try:
            yield settings
        finally:
            db.destroy_cluster(db.EmbeddedServer(settings.home))  # it may be elsewhere


def database_processes(settings: app.Settings) -> list[int]:
    """Return the id of the embedded database's first process, if it runs."""
    postmaster = db.EmbeddedServer(settings.home).pid()
    return [] if postmaster is None else [postmaster]
