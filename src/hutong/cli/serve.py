"""`hutong serve`, the processes that it starts, and `hutong migrate`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hutong.cli.common import Json, load_settings
from hutong.cli.output import print_json, print_text

serving = typer.Typer()


@serving.command()
def serve(
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Also run simulated channels, and use them.")] = False,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run API, cashier and worker until interrupted."""
    from hutong.app import run_serve

    sys.exit(run_serve(sandbox=sandbox, supervised=supervised))


@serving.command(hidden=True)
def api(fd: Annotated[int, typer.Option(help="A listening socket, inherited.")]) -> None:
    """Run the API and the cashier alone, as `serve` does for each of its processes."""
    from hutong.app import run_api

    run_api(fd)


@serving.command()
def worker(supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False) -> None:
    """Run the worker alone: webhooks, streams, polling, expiry, bookkeeping."""
    from hutong.app import run_worker

    run_worker(supervised=supervised)


@serving.command()
def migrate(as_json: Json = False) -> None:
    """Bring the database to the schema of this version."""
    from hutong import app, db, search

    settings = load_settings()
    with app.using_database(settings) as url:
        applied = db.migrate(url)
        app.provide_logins(settings)
    separate_url = app.query_database_url(settings)
    if separate_url is not None:
        applied += [f"{name} (payment records)" for name in db.migrate(separate_url, packages=search.SCHEMA_PACKAGES)]
    if as_json:
        print_json({"applied": applied})
    else:
        print_text("\n".join(applied) if applied else "nothing to do")


@serving.command(hidden=True)
def prepare(
    sandbox_url: Annotated[
        str | None, typer.Option(help="Ensure channel accounts that point at the sandbox at this address.")
    ] = None,
) -> None:
    """Migrate, and make what must exist before the first payment, as `serve` does first."""
    from hutong import app, sandbox

    settings = load_settings()
    with app.using_database(settings) as url:
        app.migrate(settings, url)
        accounts = None if sandbox_url is None else sandbox.accounts(settings.home / "sandbox", sandbox_url)
        app.run(app.prepare(settings, sandbox_accounts=accounts))
