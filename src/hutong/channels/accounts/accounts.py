"""Channel accounts: making them, rotating their credentials, and having them at hand ready to call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from pydantic import BaseModel

from hutong import db, ids
from hutong.channels.capability import Capabilities
from hutong.channels.codes.codes import Codes
from hutong.channels.codes.store import current_codes, load_shipped
from hutong.channels.codes.unmapped import Unmapped
from hutong.channels.http import Http
from hutong.channels.protocol import Channel
from hutong.channels.registry import adapter, read_credentials
from hutong.channels.statements import sql
from hutong.clock import Clock
from hutong.errors import ConfigurationError, Conflict, HutongError, NotFound
from hutong.telemetry import get_logger
from hutong.vault import Vault

_log = get_logger(__name__)

ACCOUNT_PREFIX = "acc"
_REFRESH_AFTER = timedelta(seconds=5)
_REFRESH_AHEAD = timedelta(seconds=2)
_REFRESH_AFTER_MISS = timedelta(seconds=1)


async def create_account(
    tx: db.Tx,
    vault: Vault,
    *,
    account_id: UUID,
    channel: str,
    name: str,
    sandbox: bool,
    credentials: Mapping[str, object],
    now: datetime,
) -> None:
    """Make an account at a channel, enabled.

    Args:
        credentials: What the adapter's `Credentials` asks for, as JSON would hold it.

    Errors:
        InvalidParameter: no such channel, or a field is wrong; `param` names it, the value is never repeated.
        Conflict: the channel already has an account of this name.
    """
    read_credentials(channel, credentials, sandbox=sandbox)
    sealed = _seal(vault, account_id, credentials)
    if await sql.create_account.fetchval(tx, account_id, channel, name, sandbox, sealed, now) is None:
        raise Conflict("the channel already has an account of this name", param="name")


async def ensure_account(
    tx: db.Tx,
    vault: Vault,
    *,
    account_id: UUID,
    channel: str,
    name: str,
    sandbox: bool,
    credentials: Mapping[str, object],
    now: datetime,
) -> UUID:
    """Make an account, or replace the credentials of the one that has this name already.

    Returns:
        Its id: `account_id` if it was made.

    Errors:
        As `create_account`.
    """
    found = await find_account(tx, channel=channel, name=name)
    if found is not None:
        await replace_credentials(tx, vault, account_id=found, credentials=credentials, now=now)
        return found
    await create_account(
        tx,
        vault,
        account_id=account_id,
        channel=channel,
        name=name,
        sandbox=sandbox,
        credentials=credentials,
        now=now,
    )
    return account_id


async def find_account(tx: db.Tx, *, channel: str, name: str) -> UUID | None:
    """The id of a channel's account by its name."""
    found: UUID | None = await sql.find_account.fetchval(tx, channel, name)
    return found


async def replace_credentials(
    tx: db.Tx, vault: Vault, *, account_id: UUID, credentials: Mapping[str, object], now: datetime
) -> int:
    """Replace an account's credentials whole; every process uses the new ones within seconds, without a restart.

    Returns:
        The account's new version.

    Errors:
        NotFound: no such account.
        InvalidParameter: a field is wrong; the old credentials stay.
    """
    row = await sql.lock_account.fetchrow(tx, account_id)
    if row is None:
        raise NotFound("no channel account has this id")
    read_credentials(row["channel"], credentials, sandbox=row["sandbox"])
    version: int = await sql.replace_credentials.fetchval(tx, account_id, _seal(vault, account_id, credentials), now)
    return version


async def set_enabled(tx: db.Tx, *, account_id: UUID, enabled: bool, now: datetime) -> int:
    """Offer an account for new payments, or no longer. What it has taken is still queried, closed and notified.

    Returns:
        The account's new version.

    Errors:
        NotFound: no such account.
    """
    version: int | None = await sql.set_enabled.fetchval(tx, account_id, enabled, now)
    if version is None:
        raise NotFound("no channel account has this id")
    return version


@dataclass(frozen=True, slots=True)
class Offer:
    """An enabled account and what it can do, for choosing; the channel and the name together are unique."""

    account_id: UUID
    capabilities: Capabilities
    sandbox: bool
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Loaded:
    version: int
    name: str
    enabled: bool
    sandbox: bool
    channel: Channel | None
    """None where the stored credentials cannot be used; the log says why."""


class Accounts:
    """Channel accounts ready to be called, and what their channels' codes mean, kept current with the database by
    looking at most every five seconds.

    Attributes:
        unmapped: The codes that came and have no meaning; whoever opens this flushes it now and then.
    """

    def __init__(self, database: db.Database, vault: Vault, http: Http, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._http = http
        self._clock = clock
        self.unmapped = Unmapped(clock)
        self._codes: dict[str, Codes] = {}
        self._code_versions: dict[str, int] | None = None
        self._loaded: dict[UUID, _Loaded] = {}
        self._looked_at: datetime | None = None
        self._lock = asyncio.Lock()

    async def get(self, account_id: UUID) -> Channel:
        """The account ready to be called, enabled or not.

        Errors:
            NotFound: no such account.
            ConfigurationError: its stored credentials cannot be used.
        """
        await self._refresh(_REFRESH_AFTER)
        if account_id not in self._loaded:
            await self._refresh(_REFRESH_AFTER_MISS)
        found = self._loaded.get(account_id)
        if found is None:
            raise NotFound("no channel account has this id")
        if found.channel is None:
            raise ConfigurationError("the stored credentials of this channel account cannot be used")
        return found.channel

    async def offers(self, *, ahead: bool = False) -> list[Offer]:
        """The enabled accounts that can be called, in the order they were made.

        Args:
            ahead: Look at the database while it is not yet needed, so that who asks for a payment never waits for it.
        """
        await self._refresh(_REFRESH_AHEAD if ahead else _REFRESH_AFTER)
        return [
            Offer(account_id, loaded.channel.capabilities, loaded.sandbox, loaded.name)
            for account_id, loaded in sorted(self._loaded.items())
            if loaded.enabled and loaded.channel is not None
        ]

    def text(self, channel: str, code: str) -> tuple[str, str] | None:
        """What a payer may be told of one of our codes, in English and in Chinese; None where there is nothing."""
        known = self._codes.get(channel)
        return None if known is None else known.text(code)

    async def refresh(self) -> None:
        """Look at the database now, after a change made by this process."""
        await self._refresh(timedelta(0))

    async def _refresh(self, age: timedelta) -> None:
        if self._is_fresh(age):
            return
        async with self._lock:
            if self._is_fresh(age):
                return  # another caller has just looked
            started = self._clock.now()
            async with self._database.transaction() as tx:
                await self._refresh_codes(tx, started)
                versions = {row["id"]: row["version"] for row in await sql.account_versions.fetch(tx)}
                changed = [
                    account_id
                    for account_id, version in versions.items()
                    if account_id not in self._loaded or self._loaded[account_id].version != version
                ]
                rows = await sql.load_accounts.fetch(tx, changed) if changed else []
            for row in rows:
                self._loaded[row["id"]] = _Loaded(
                    row["version"], row["name"], row["enabled"], row["sandbox"], self._make(row["id"], row)
                )
            self._looked_at = started

    async def _refresh_codes(self, tx: db.Tx, now: datetime) -> None:
        """Read the code maps that have changed; those who hold a map read by the new one at once."""
        if self._code_versions is None:
            await load_shipped(tx, now=now)
        versions = {row["channel"]: row["version"] for row in await sql.code_versions.fetch(tx)}
        known = self._code_versions or {}
        changed = [channel for channel, version in versions.items() if known.get(channel) != version]
        rows = await current_codes(tx, changed) if changed else []
        for channel in changed:
            self._codes_of(channel).replace(
                {row.entry.place[1:]: row.entry.meaning for row in rows if row.entry.channel == channel}
            )
        self._code_versions = versions

    def _codes_of(self, channel: str) -> Codes:
        if channel not in self._codes:
            self._codes[channel] = Codes({}, self.unmapped.watch(channel))
        return self._codes[channel]

    def _is_fresh(self, age: timedelta) -> bool:
        return self._looked_at is not None and self._clock.now() - self._looked_at < age

    def _make(self, account_id: UUID, row: Any) -> Channel | None:
        channel = row["channel"]
        try:
            credentials = open_credentials(self._vault, account_id, row)
            return adapter(channel)(credentials, self._http, self._codes_of(channel))
        except HutongError as error:
            # One account that cannot be used must not take the others down.
            _log.error("channel_account_unusable", account=ids.encode(ACCOUNT_PREFIX, account_id), reason=error.detail)
            return None


async def read_account(tx: db.Tx, account_id: UUID) -> asyncpg.Record:
    """An account's row, its credentials sealed.

    Errors:
        NotFound: no such account.
    """
    row = await sql.load_accounts.fetch(tx, [account_id])
    if not row:
        raise NotFound("no channel account has this id")
    return row[0]


def open_credentials(vault: Vault, account_id: UUID, row: asyncpg.Record) -> BaseModel:
    """The credentials of an account's row.

    Errors:
        ConfigurationError: they cannot be decrypted.
        InvalidParameter: no adapter is installed, or they are no longer enough for it.
    """
    opened = vault.open(row["credentials_sealed"], context=_context(account_id))
    return read_credentials(row["channel"], orjson.loads(opened), sandbox=row["sandbox"], stored=True)


def _context(account_id: UUID) -> str:
    return f"channel_account:{ids.encode(ACCOUNT_PREFIX, account_id)}"


def _seal(vault: Vault, account_id: UUID, credentials: Mapping[str, object]) -> bytes:
    return vault.seal(orjson.dumps(dict(credentials)), context=_context(account_id))
