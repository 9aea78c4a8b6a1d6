"""`hutong merchant add-key` and `revoke-key`."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from hutong.cli.common import Json, in_transaction, load_settings, make_ids
from hutong.cli.merchant_of import MerchantName, merchant_id_of
from hutong.cli.output import print_json, print_line, print_result
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db, merchants

keys = typer.Typer()

KEY_REASON = "from the command line"
KeyReason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit journal.")]


@keys.command("add-key")
def add_key(
    merchant_name: MerchantName,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="What the key may do; repeatable. By default everything."),
    ] = None,
    expires_in_days: Annotated[
        int | None, typer.Option("--expires-in-days", min=1, max=3_650, help="Refuse the key after so many days.")
    ] = None,
    reason: KeyReason = KEY_REASON,
    as_json: Json = False,
) -> None:
    """Issue another API key to a merchant.

    Scopes: payments:read, payments:write, refunds:write, disputes:write, webhooks:read, webhooks:write, events:read,
    balance:read.
    """
    from hutong import merchants

    settings = load_settings()
    key_id = make_ids(settings).new()
    expires_at = None if expires_in_days is None else SystemClock().now() + timedelta(days=expires_in_days)
    limits = merchants.KeyLimits(None if scope is None else frozenset(scope), expires_at)

    async def work(tx: db.Tx) -> merchants.ApiKey:
        return await create_key(tx, await merchant_id_of(tx, merchant_name), key_id, limits, reason)

    print_key(in_transaction(work, settings), as_json=as_json)


@keys.command("revoke-key")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, key_….")],
    reason: KeyReason = KEY_REASON,
    as_json: Json = False,
) -> None:
    """Revoke an API key; it stops working within five seconds."""
    from hutong import ids, merchants

    identifier = ids.decode("key", key_id)

    async def work(tx: db.Tx) -> None:
        await merchants.revoke_api_key(tx, identifier, now=SystemClock().now(), reason=reason)

    in_transaction(work)
    print_result({"key_id": key_id, "status": "revoked"}, "revoked", as_json=as_json)


async def create_key(
    tx: db.Tx, merchant_id: UUID, key_id: UUID, limits: merchants.KeyLimits, reason: str
) -> merchants.ApiKey:
    """Create a key, with a random part of its own."""
    from hutong import merchants

    random, now = secrets.token_urlsafe(32), SystemClock().now()
    return await merchants.create_api_key(
        tx, merchant_id, key_id=key_id, random=random, now=now, limits=limits, reason=reason
    )


def print_key(key: merchants.ApiKey, *, as_json: bool) -> None:
    """Print a key, this once."""
    from hutong import ids

    document = {
        "merchant_id": ids.encode("mer", key.merchant_id),
        "key_id": ids.encode("key", key.key_id),
        "api_key": key.secret,
    }
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        print_line(f"{name:<12} {value}")
    print_line("The API key is not shown again.")
