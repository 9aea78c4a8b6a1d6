"""Getting ready to serve: the schema, partitions, code maps and, for the sandbox, accounts that point at it."""

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
    """Bring the databases to this version's schema. Payments do not wait for that of payment records."""
    db.migrate(url)
    own = query_database_url(settings)
    if own is not None:
        try:
            db.migrate(own, rooms=search.SCHEMAS)
        except Unavailable as error:  # the worker does it once it can
            print(f"hutong: bills' database is away: {error.detail}", file=sys.stderr)


async def prepare(settings: Settings, *, sandbox_accounts: Mapping[str, Mapping[str, object]] | None = None) -> None:
    """Make what must be there before the first payment.

    Args:
        sandbox_accounts: The credentials of accounts at the sandbox, by the channel's name.
    """
    async with open_platform(settings) as platform:
        await keep_books(platform)  # partitions must lie ready before the first transfer
        await events.make_partitions(platform.database, now=platform.clock.now())
        await platform.accounts.refresh()  # loads the code maps that ship with this version
        if sandbox_accounts is not None:
            await ensure_sandbox_accounts(platform, sandbox_accounts)


async def ensure_sandbox_accounts(platform: Platform, accounts: Mapping[str, Mapping[str, object]]) -> dict[str, UUID]:
    """Make the channel accounts that point at the sandbox, or bring them up to date.

    Args:
        accounts: Their credentials, by the channel's name.

    Returns:
        Their ids, by the channel's name.
    """
    found: dict[str, UUID] = {}
    async with platform.database.transaction() as tx:
        for channel, credentials in sorted(accounts.items()):
            found[channel] = await channels.accounts.ensure_account(
                tx,
                platform.vault,
                account_id=platform.ids.new(),
                channel=channel,
                name=SANDBOX_ACCOUNT,
                sandbox=True,
                credentials=credentials,
                now=platform.clock.now(),
            )
    return found
