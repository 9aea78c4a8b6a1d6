"""`hutong db …`: the embedded database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hutong.cli.common import load_settings
from hutong.cli.output import print_line
from hutong.errors import ConfigurationError, InvalidRequest

database = typer.Typer(help="The embedded database.", no_args_is_help=True)

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@database.command("stop")
def stop() -> None:
    """Stop the embedded PostgreSQL, unless another process uses it."""
    from hutong import db

    stopped = db.EmbeddedServer(load_settings().home).stop()
    print_line("stopped" if stopped else "another process uses it; it keeps running")


@database.command("url")
def url() -> None:
    """Print the address of the database, password included, for `psql` and other tools.

    The embedded PostgreSQL is started if it is down, and then runs until `hutong db stop`.
    """
    from hutong import db

    settings = load_settings()
    if settings.database_url is not None:
        print_line(settings.database_url.get_secret_value())
    else:
        print_line(db.EmbeddedServer(settings.home, archive=settings.backup_folder).start(keep=True))


@database.command("destroy")
def destroy(
    orphans: Annotated[
        bool,
        typer.Option("--orphans", help="Instead, remove databases whose data folders are gone, with what they used."),
    ] = False,
    yes: Yes = False,
) -> None:
    """Delete the embedded database with all payments in it. Backups in other folders stay."""
    from hutong import db

    if orphans:
        _remove_orphans(yes=yes)
        return
    settings = load_settings()
    if settings.database_url is not None:
        raise ConfigurationError("the database is not the embedded one", param="HUTONG_DATABASE_URL")
    found = db.cluster_of(settings.home)
    if found is None:
        print_line(f"there is no database in {settings.home}")
        return
    _confirm([f"{found[0]}  {_megabytes(found[1])}  the database of {settings.home}"], yes=yes)
    removed = db.destroy_cluster(db.EmbeddedServer(settings.home))
    from hutong import app

    for file in (app.visit_file(settings), app.heads_file(settings)):  # of that database
        file.unlink(missing_ok=True)
    _show_removed(removed)


def _remove_orphans(*, yes: bool) -> None:
    from hutong import db

    found = db.find_orphans()
    if not found:
        print_line("there are none")
        return
    _confirm([f"{orphan.folder}  {_megabytes(orphan.size)}  {orphan.reason}" for orphan in found], yes=yes)
    for orphan in found:
        db.remove_orphan(orphan)
    _show_removed([orphan.folder for orphan in found])


def _confirm(lines: Sequence[str], *, yes: bool) -> None:
    """Show what will be deleted, and go on only if a person agrees. Errors: InvalidRequest: they do not."""
    for line in lines:
        print_line(line)
    if not yes and not typer.confirm("Delete this for good?", default=False, err=True):
        raise InvalidRequest("nothing was deleted")


def _show_removed(folders: Sequence[Path]) -> None:
    for folder in folders:
        print_line(f"deleted {folder}")


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB"
