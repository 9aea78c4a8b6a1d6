"""`hutong channels register-address`: where a channel notifies of disputes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import load_settings, with_database
from hutong.cli.output import print_line
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import channels, db
    from hutong.vault import Vault


def register_address(
    name: Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel, such as wechat.")],
    account: Annotated[str, typer.Argument(metavar="NAME", help="Your name of the account.")],
) -> None:
    """Register this installation's address for a channel's messages about disputes, where that is by interface.

    It takes the place of another address. Exits 1 if the channel has not taken it.
    """
    from hutong import app

    settings = load_settings()
    vault, public_url = app.open_vault(settings), app.public_url(settings)
    found = with_database(lambda database: register(database, vault, name, account, public_url), settings)
    print_line(found.advice)
    if found.fault is not None:
        sys.exit(1)


async def register(
    database: db.Database, vault: Vault, name: str, account: str, public_url: str
) -> channels.AccountFinding:
    """Register the address of an account below the one of this installation.

    Errors:
        NotFound: the channel has no account of this name.
    """
    from hutong import channels, ids
    from hutong.errors import NotFound

    clock = SystemClock()
    async with database.transaction() as tx:
        account_id = await channels.accounts.find_account(tx, channel=name, name=account)
    if account_id is None:
        raise NotFound("the channel has no account of this name", param="name")
    async with channels.Http.open() as http:
        adapter = await channels.Accounts(database, vault, http, clock).get(account_id)
        url = f"{public_url}/channels/{ids.encode('acc', account_id)}/notifications"
        return await adapter.register_address(url, now=clock.now())
