"""`hutong db …`: the embedded database."""

from __future__ import annotations

import typer

from hutong.cli.common import load_settings
from hutong.cli.output import print_line

database = typer.Typer(help="The embedded database.", no_args_is_help=True)


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
