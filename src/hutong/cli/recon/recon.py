"""`hutong recon …`: bills in, every row matched, every difference brought to its end."""

from __future__ import annotations

import typer

from hutong.cli.recon.approving import approving
from hutong.cli.recon.bank import bank
from hutong.cli.recon.cases import cases, resolving
from hutong.cli.recon.checking import checking
from hutong.cli.recon.files import filing
from hutong.cli.recon.generating import generating
from hutong.cli.recon.layouts import layouts
from hutong.cli.recon.running import running

recon = typer.Typer(
    help="Bills and bank statements against the books: files, runs, differences and their ends.", no_args_is_help=True
)
recon.add_typer(filing)
recon.add_typer(cases)
resolving.add_typer(approving)
recon.add_typer(resolving, name="resolve")
recon.add_typer(running)
recon.add_typer(bank, name="bank")
recon.add_typer(checking)
recon.add_typer(generating)
recon.add_typer(layouts)
