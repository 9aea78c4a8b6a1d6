"""Channel accounts: their creation, the rotation of their credentials, and the accounts of a process, ready to call."""

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
from hutong.channels.accounts.adopted_keys import AdoptedKeys, KeyPlace
from hutong.channels.capability import Capabilities
from hutong.channels.codes.codes import Codes
from hutong.channels.codes.store import current_codes, load_shipped
from hutong.channels.codes.unmapped import UnmappedCodes
from hutong.channels.http import Http
from hutong.channels.protocol import Channel
from hutong.channels.registry import adapter, read_credentials
from hutong.channels.statements import sql
from hutong.clock import Clock
from hutong.errors import ConfigurationError, Conflict, CredentialsUnreadable, HutongError, NotFound
from hutong.telemetry import RareLine, get_logger
from hutong.vault import Vault

_log = get_logger(__name__)

ACCOUNT_PREFIX = "acc"
_REFRESH_AFTER = timedelta(seconds=5)
_REFRESH_AHEAD = timedelta(seconds=2)
_REFRESH_AFTER_MISS = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One account without its credentials. `version` counts its changes."""

    account_id: UUID
    channel: str
    name: str
    enabled: bool
    sandbox: bool
    version: int
    created_at: datetime
    updated_at: datetime


_read_entry = db.reader(AccountEntry, sql["account"])


async def list_accounts(tx: db.Tx) -> list[AccountEntry]:
    """Return all accounts, by channel and name."""
    return [_read_entry(row) for row in await sql.list_accounts.fetch(tx)]


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
    """Create an enabled account at a channel.

    Args:
        credentials: The fields of the adapter's `Credentials`, as JSON values.

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
    """Create an account, or replace the credentials of the existing one of this name.

    Returns:
        Its id: `account_id` if it was created.

    Errors:
        InvalidParameter: as `create_account`.
    """
    read_credentials(channel, credentials, sandbox=sandbox)
    sealed = _seal(vault, account_id, credentials)
    if await sql.create_account.fetchval(tx, account_id, channel, name, sandbox, sealed, now) is not None:
        return account_id
    existing = await find_account(tx, channel=channel, name=name)
    assert existing is not None  # accounts are never deleted
    await replace_credentials(tx, vault, account_id=existing, credentials=credentials, now=now)
    return existing


async def find_account(tx: db.Tx, *, channel: str, name: str) -> UUID | None:
    """Return the id of a channel's account by its name."""
    account_id: UUID | None = await sql.find_account.fetchval(tx, channel, name)
    return account_id


async def replace_credentials(
    tx: db.Tx, vault: Vault, *, account_id: UUID, credentials: Mapping[str, object], now: datetime
) -> int:
    """Replace all credentials of an account; every process uses the new ones within seconds, without a restart.

    Returns:
        The account's new version.

    Errors:
        NotFound: no such account.
        InvalidParameter: a field is wrong; the previous credentials stay.
    """
    row = await sql.lock_account.fetchrow(tx, account_id)
    if row is None:
        raise NotFound("no channel account has this id")
    read_credentials(row["channel"], credentials, sandbox=row["sandbox"])
    version: int = await sql.replace_credentials.fetchval(tx, account_id, _seal(vault, account_id, credentials), now)
    return version


async def set_enabled(tx: db.Tx, *, account_id: UUID, enabled: bool, now: datetime) -> int:
    """Enable or disable an account for new payments. Existing ones are still queried, closed and notified.

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
    """An enabled account with its capabilities, for routing; channel and name together are unique."""

    account_id: UUID
    capabilities: Capabilities
    sandbox: bool
    name: str = ""


@dataclass(frozen=True, slots=True)
class _LoadedAccount:
    version: int
    name: str
    enabled: bool
    sandbox: bool
    channel: Channel | None
    """None where the stored credentials cannot be used; the log has the reason."""
    unreadable: bool = False
    """Whether they are sealed with a key that this process does not have."""


class Accounts:
    """Channel accounts ready to be called, with the code maps of their channels.

    They are reloaded from the database when they are used, at most every five seconds.

    Attributes:
        unmapped: The unmapped codes seen by this process; the owner of this object flushes them regularly.
    """

    def __init__(self, database: db.Database, vault: Vault, http: Http, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._http = http
        self._clock = clock
        self.unmapped = UnmappedCodes(clock)
        self._keys = AdoptedKeys(vault)
        self._codes: dict[str, Codes] = {}
        self._code_versions: dict[str, int] | None = None
        self._loaded: dict[UUID, _LoadedAccount] = {}
        self._refreshed_at: datetime | None = None
        self._lock = asyncio.Lock()
        self._unreadable_line = RareLine(_log, "error", "credentials_unreadable")

    async def get(self, account_id: UUID) -> Channel:
        """Return an account ready to be called, enabled or not.

        Errors:
            NotFound: no such account.
            CredentialsUnreadable: its stored credentials are sealed with another key.
            ConfigurationError: they cannot be used.
        """
        await self._refresh(_REFRESH_AFTER)
        if account_id not in self._loaded:
            await self._refresh(_REFRESH_AFTER_MISS)
        account = self._loaded.get(account_id)
        if account is None:
            raise NotFound("no channel account has this id")
        if account.unreadable:
            raise CredentialsUnreadable("the credentials of this channel account are sealed with another secret key")
        if account.channel is None:
            raise ConfigurationError("the stored credentials of this channel account cannot be used")
        return account.channel

    async def offers(self, *, ahead: bool = False) -> list[Offer]:
        """Return the enabled accounts that can be called, in the order of their creation.

        Args:
            ahead: Reload before it is necessary, in the background, so that no payment waits for it.
        """
        await self._refresh(_REFRESH_AHEAD if ahead else _REFRESH_AFTER)
        return [
            Offer(account_id, loaded.channel.capabilities, loaded.sandbox, loaded.name)
            for account_id, loaded in sorted(self._loaded.items())
            if loaded.enabled and loaded.channel is not None
        ]

    def unreadable(self, *, sandbox: bool) -> list[str]:
        """Return the enabled accounts, as of the last reload, whose credentials are sealed with another key."""
        return [
            ids.encode(ACCOUNT_PREFIX, account_id)
            for account_id, loaded in sorted(self._loaded.items())
            if loaded.unreadable and loaded.enabled and loaded.sandbox is sandbox
        ]

    def text(self, channel: str, entry: str, failed: bool) -> tuple[str, str] | None:
        """Return the text for payers of an entry of the code map, as `Codes.text`; None where there is none."""
        codes = self._codes.get(channel)
        return None if codes is None else codes.text(entry, failed=failed)

    async def refresh(self) -> None:
        """Reload now, after a change made by this process."""
        await self._refresh(timedelta(0))

    async def _refresh(self, age: timedelta) -> None:
        if self._is_fresh(age):
            return
        async with self._lock:
            if self._is_fresh(age):
                return  # another caller has just reloaded
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
                keys = await self._keys.load(tx)
            for row in rows:
                self._loaded[row["id"]] = self._load(row["id"], row)
            self._adopt(keys)
            self._refreshed_at = started
            if unreadable := [account_id for account_id, loaded in self._loaded.items() if loaded.unreadable]:
                accounts = [ids.encode(ACCOUNT_PREFIX, account_id) for account_id in sorted(unreadable)]
                self._unreadable_line.write(accounts=accounts)

    def _adopt(self, keys: Mapping[KeyPlace, str]) -> None:
        for place, pem in keys.items():
            loaded = self._loaded.get(place.account_id)
            if loaded is not None and loaded.version == place.version and loaded.channel is not None:
                loaded.channel.adopt_keys({place.key_id: pem})

    async def store_keys(self) -> None:
        """Store the keys of channels that this process has fetched and verified, for the others and for later."""
        keys = {
            KeyPlace(account_id, loaded.version, key_id): pem
            for account_id, loaded in self._loaded.items()
            if loaded.channel is not None
            for key_id, pem in loaded.channel.adopted_keys().items()
        }
        await self._keys.store(self._database, keys, now=self._clock.now())

    async def _refresh_codes(self, tx: db.Tx, now: datetime) -> None:
        """Reload the changed code maps; adapters use the new meanings at once."""
        if self._code_versions is None:
            await load_shipped(tx, now=now)
        versions = {row["channel"]: row["version"] for row in await sql.code_versions.fetch(tx)}
        previous = self._code_versions or {}
        changed = [channel for channel, version in versions.items() if previous.get(channel) != version]
        rows = await current_codes(tx, changed) if changed else []
        for channel in changed:
            self._codes_of(channel).replace(
                {row.entry.key[1:]: row.entry.meaning for row in rows if row.entry.channel == channel}
            )
        self._code_versions = versions

    def _codes_of(self, channel: str) -> Codes:
        if channel not in self._codes:
            self._codes[channel] = Codes({}, self.unmapped.watch(channel))
        return self._codes[channel]

    def _is_fresh(self, age: timedelta) -> bool:
        # Not at a later time than now: a clock that was ahead has come back.
        return self._refreshed_at is not None and timedelta(0) <= self._clock.now() - self._refreshed_at < age

    def _load(self, account_id: UUID, row: Any) -> _LoadedAccount:
        channel: Channel | None = None
        unreadable = False
        try:
            credentials = open_credentials(self._vault, account_id, row)
            http = self._http.for_account(account_id)
            channel = adapter(row["channel"])(credentials, http, self._codes_of(row["channel"]))
        except CredentialsUnreadable:
            unreadable = True
        except HutongError as error:
            # One unusable account must not disable the others.
            _log.error("channel_account_unusable", account=ids.encode(ACCOUNT_PREFIX, account_id), reason=error.detail)
        return _LoadedAccount(row["version"], row["name"], row["enabled"], row["sandbox"], channel, unreadable)


async def read_account(tx: db.Tx, account_id: UUID) -> asyncpg.Record:
    """Return an account's row, with sealed credentials.

    Errors:
        NotFound: no such account.
    """
    rows = await sql.load_accounts.fetch(tx, [account_id])
    if not rows:
        raise NotFound("no channel account has this id")
    return rows[0]


def open_credentials(vault: Vault, account_id: UUID, row: asyncpg.Record) -> BaseModel:
    """Decrypt and validate the credentials of an account's row.

    Errors:
        CredentialsUnreadable: they are sealed with another key.
        ConfigurationError: they cannot be decrypted.
        InvalidParameter: no adapter is installed, or the adapter no longer accepts them.
    """
    plain = vault.open(row["credentials_sealed"], context=_context(account_id))
    return read_credentials(row["channel"], orjson.loads(plain), sandbox=row["sandbox"], stored=True)


def _context(account_id: UUID) -> str:
    return f"channel_account:{ids.encode(ACCOUNT_PREFIX, account_id)}"


def _seal(vault: Vault, account_id: UUID, credentials: Mapping[str, object]) -> bytes:
    return vault.seal(orjson.dumps(dict(credentials)), context=_context(account_id))
