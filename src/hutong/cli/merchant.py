"""`hutong merchant …`: merchants and their API keys."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction, load_settings, make_ids
from hutong.cli.ledger.options import acting_person
from hutong.cli.output import print_json, print_line
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db, merchants

merchant = typer.Typer(help="Merchants and their API keys.", no_args_is_help=True)

KEY_REASON = "from the command line"
KeyReason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit journal.")]


@merchant.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Shown to payers.")],
    fee_ppm: Annotated[int, typer.Option(help="Our fee, in parts per million of each payment.")] = 0,
    return_origin: Annotated[
        list[str] | None, typer.Option(help="An origin to which payers may be sent back; may be repeated.")
    ] = None,
    validity_minutes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=5_270_400,
            help="How long a payment can be paid if its order does not say; at most the platform's limit.",
        ),
    ] = None,
    keep_fee: Annotated[
        bool, typer.Option("--keep-fee", help="Refunds return nothing of our fee; by default its share.")
    ] = False,
    reason: KeyReason = KEY_REASON,
    as_json: Json = False,
) -> None:
    """Register a merchant and issue the first API key, which is shown this once."""
    from hutong import merchants

    settings = load_settings()
    validity = None if validity_minutes is None else timedelta(minutes=validity_minutes)
    merchant_id = make_ids(settings).new()
    new = merchants.NewMerchant(merchant_id, name, fee_ppm, tuple(return_origin or ()), validity, not keep_fee)

    async def work(tx: db.Tx) -> merchants.ApiKey:
        await merchants.create_merchant(tx, new, now=SystemClock().now())
        return await _create_key(tx, merchant_id, make_ids(settings).new(), reason)

    _print_key(in_transaction(work, settings), as_json=as_json)


@merchant.command("overdraft")
def overdraft(
    merchant_id: str,
    limit_minor: Annotated[int, typer.Argument(min=0, help="In minor units; 0 ends the agreement.")],
    key: KeyFile,
    reason: Reason,
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "CNY",
) -> None:
    """Set how far refunds may take a merchant's balance below zero."""
    from hutong import bookkeeping, ids, merchants
    from hutong.errors import NotFound

    owner = ids.decode("mer", merchant_id)

    async def work(tx: db.Tx) -> int:
        person = await acting_person(tx, key, reason)
        if owner not in await merchants.find_merchants(tx, [owner]):
            raise NotFound("no merchant has this id")
        return await bookkeeping.agree_overdraft(tx, person, owner, currency, limit_minor, now=SystemClock().now())

    print_line(f"{in_transaction(work)} -> {limit_minor} {currency}")


@merchant.command("add-key")
def add_key(merchant_id: str, reason: KeyReason = KEY_REASON, as_json: Json = False) -> None:
    """Issue one more API key to a merchant."""
    from hutong import ids

    settings = load_settings()
    owner = ids.decode("mer", merchant_id)
    key_id = make_ids(settings).new()
    _print_key(in_transaction(lambda tx: _create_key(tx, owner, key_id, reason), settings), as_json=as_json)


@merchant.command("revoke-key")
def revoke_key(key_id: str, reason: KeyReason = KEY_REASON) -> None:
    """Revoke an API key; it stops working within five seconds."""
    from hutong import ids, merchants

    identifier = ids.decode("key", key_id)

    async def work(tx: db.Tx) -> None:
        await merchants.revoke_api_key(tx, identifier, now=SystemClock().now(), reason=reason)

    in_transaction(work)
    print_line("revoked")


async def _create_key(tx: db.Tx, merchant_id: UUID, key_id: UUID, reason: str) -> merchants.ApiKey:
    from hutong import merchants

    random, now = secrets.token_urlsafe(32), SystemClock().now()
    return await merchants.create_api_key(tx, merchant_id, key_id=key_id, random=random, now=now, reason=reason)


def _print_key(key: merchants.ApiKey, *, as_json: bool) -> None:
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
