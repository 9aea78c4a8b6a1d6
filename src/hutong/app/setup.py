"""Preparation to serve: the schema, partitions, code maps and, for the sandbox, channel accounts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from uuid import UUID

from hutong import channels, db, events, search
from hutong.app.platform import Platform, open_platform, query_database_url
from hutong.app.worker import keep_books
from hutong.config import Settings
from hutong.errors import Unavailable

SANDBOX_ACCOUNT = "sandbox"


def migrate(settings: Settings, url: str) -> None:
    """Bring the databases to the schema of this version. Payments do not wait for the payment records' database."""
    db.migrate(url)
    provide_logins(settings)
    separate_url = query_database_url(settings)
    if separate_url is not None:
        try:
            db.migrate(separate_url, packages=search.SCHEMA_PACKAGES)
        except Unavailable as error:  # the worker migrates it later
            print(f"hutong: the database of payment records is unavailable: {error.detail}", file=sys.stderr)


def provide_logins(settings: Settings) -> None:
    """Let the parts that serve log in as their roles, if the database is the embedded one, which runs and is migrated.

    Logins of another database are its administrator's to make.
    """
    if settings.database_url is None:
        db.EmbeddedServer(settings.home).provide_logins()


async def prepare(settings: Settings, *, sandbox_accounts: Mapping[str, Mapping[str, object]] | None = None) -> None:
    """Make what must exist before the first payment.

    Args:
        sandbox_accounts: Credentials of accounts at the sandbox, by channel.
    """
    async with open_platform(settings, limit_s=db.LONG_LIMIT_S) as platform:
        await keep_books(platform)  # partitions must exist before the first transfer
        await events.make_partitions(platform.database, now=platform.clock.now())
        await platform.accounts.refresh()  # loads the code maps that ship with this version
        if sandbox_accounts is not None:
            await ensure_sandbox_accounts(platform, sandbox_accounts)


async def ensure_sandbox_accounts(platform: Platform, accounts: Mapping[str, Mapping[str, object]]) -> dict[str, UUID]:
    """Create or update the channel accounts that point at the sandbox, in this order, which the cashier begins with.

    Args:
        accounts: Their credentials, by channel.

    Returns:
        Their ids, by channel.
    """
    account_ids: dict[str, UUID] = {}
    async with platform.database.transaction() as tx:
        for channel, credentials in accounts.items():
            account_ids[channel] = await channels.accounts.ensure_account(
                tx,
                platform.vault,
                account_id=platform.ids.new(),
                channel=channel,
                name=SANDBOX_ACCOUNT,
                sandbox=True,
                credentials=credentials,
                now=platform.clock.now(),
            )
    return account_ids
