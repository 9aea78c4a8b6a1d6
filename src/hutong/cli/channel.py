"""`hutong channels …`"""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from hutong import app, channels, config, db, ids
from hutong.cli.common import in_transaction
from hutong.clock import SystemClock
from hutong.errors import InvalidParameter, NotFound
from hutong.ids import Ids

_FILE_BYTES_MAX = 1 << 20
_OPTION = "--credentials"


def run_add(channel: str, name: str, file: Path, *, as_json: bool) -> None:
    """Connect an account, enabled."""
    settings, clock = config.load(), SystemClock()
    credentials = read_file(file)
    account_id = Ids(clock, zone=settings.zone).new()
    vault = app.open_vault(settings)

    async def work(tx: db.Tx) -> None:
        await channels.accounts.create_account(
            tx,
            vault,
            account_id=account_id,
            channel=channel,
            name=name,
            sandbox=False,
            credentials=credentials,
            now=clock.now(),
        )

    in_transaction(settings, work)
    shown = {"account_id": ids.encode("acc", account_id), "channel": channel, "name": name}
    print(json.dumps(shown) if as_json else "\n".join(f"{key:<12} {value}" for key, value in shown.items()))
    address = app.public_url(settings)
    if not address.startswith("https://"):
        print(
            f"Channels will be told to notify {address}, which they cannot reach: "
            "set HUTONG_PUBLIC_URL to the https address of this installation before you serve.",
            file=sys.stderr,
        )


def run_list(*, as_json: bool) -> None:
    """Show every account, without what is secret."""
    entries = [_document(entry) for entry in in_transaction(config.load(), channels.accounts.list_accounts)]
    if as_json:
        print(json.dumps({"accounts": entries}))
        return
    for entry in entries:
        state = "enabled" if entry["enabled"] else "disabled"
        kind = "sandbox" if entry["sandbox"] else "real"
        print(f"{entry['account_id']}  {entry['channel']:<10} {entry['name']:<20} {kind:<8} {state}")
    if not entries:
        print("There is no channel account. `hutong channels add` connects one.")


def run_rotate(channel: str, name: str, file: Path) -> None:
    """Replace an account's credentials whole."""
    settings = config.load()
    credentials = read_file(file)
    vault = app.open_vault(settings)

    async def work(tx: db.Tx) -> None:
        account_id = await _find(tx, channel, name)
        await channels.accounts.replace_credentials(
            tx, vault, account_id=account_id, credentials=credentials, now=SystemClock().now()
        )

    in_transaction(settings, work)
    print("replaced; every process uses the new credentials within five seconds")


def run_set_enabled(channel: str, name: str, *, enabled: bool) -> None:
    """Offer an account for new payments, or no longer."""

    async def work(tx: db.Tx) -> None:
        account_id = await _find(tx, channel, name)
        await channels.accounts.set_enabled(tx, account_id=account_id, enabled=enabled, now=SystemClock().now())

    in_transaction(config.load(), work)
    print("enabled" if enabled else "disabled; payments it has taken are still asked about")


def read_file(path: Path) -> dict[str, Any]:
    """Read credentials: a JSON object in a file that only its owner may read.

    Errors:
        InvalidParameter: no such file, not private, or not a JSON object. What is in it is never repeated.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise InvalidParameter(f"{path} is not a file", param=_OPTION)
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InvalidParameter(f"others may read {path}; run: chmod 600 {path}", param=_OPTION)
            text = file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read: {error.strerror}", param=_OPTION) from error
    try:
        read = json.loads(text)
    except ValueError:
        raise InvalidParameter(f"{path} is not JSON", param=_OPTION) from None
    if not isinstance(read, dict):
        raise InvalidParameter(f"{path} does not hold a JSON object", param=_OPTION)
    return read


async def _find(tx: db.Tx, channel: str, name: str) -> UUID:
    account_id = await channels.accounts.find_account(tx, channel=channel, name=name)
    if account_id is None:
        raise NotFound("the channel has no account of this name", param="name")
    return account_id


def _document(entry: channels.accounts.AccountEntry) -> dict[str, Any]:
    return {
        "account_id": ids.encode("acc", entry.account_id),
        "channel": entry.channel,
        "name": entry.name,
        "enabled": entry.enabled,
        "sandbox": entry.sandbox,
        "created_at": entry.created_at.isoformat(),
        "updated_at": entry.updated_at.isoformat(),
    }
