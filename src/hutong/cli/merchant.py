"""`hutong merchant …`: merchants, their settings and their API keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, KeyFile, Reason, in_transaction, load_settings, make_ids
from hutong.cli.ledger.options import acting_person
from hutong.cli.merchant_keys import KEY_REASON, KeyReason, create_key, keys, print_key
from hutong.cli.merchant_of import (
    MerchantName,
    find_merchant,
    key_documents,
    merchant_document,
    merchant_id_of,
    print_merchant,
)
from hutong.cli.merchant_update import VALIDITY_MINUTES_MAX, updating
from hutong.cli.output import print_json, print_line, print_result
from hutong.cli.poster import posters
from hutong.cli.tables import print_table
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db, merchants

merchant = typer.Typer(help="Merchants, their settings and their API keys.", no_args_is_help=True)
merchant.add_typer(updating)
merchant.add_typer(keys)
merchant.add_typer(posters)

FeePpm = Annotated[int, typer.Option("--fee-ppm", help="Our fee, in parts per million of each payment.")]


@merchant.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Shown to payers.")],
    fee_ppm: FeePpm = 0,
    return_origin: Annotated[
        list[str] | None,
        typer.Option("--return-origin", metavar="ORIGIN", help="An origin to which payers may return; repeatable."),
    ] = None,
    validity_minutes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=VALIDITY_MINUTES_MAX,
            help="How long a payment can be paid if its order does not say; at most the platform's limit.",
        ),
    ] = None,
    keep_fee: Annotated[
        bool,
        typer.Option("--keep-fee", help="Keep our fee when a payment is refunded; by default its share is returned."),
    ] = False,
    reason: KeyReason = KEY_REASON,
    as_json: Json = False,
) -> None:
    """Register a merchant and issue its first API key, which is shown only once."""
    from hutong import merchants

    settings = load_settings()
    validity = None if validity_minutes is None else timedelta(minutes=validity_minutes)
    merchant_id = make_ids(settings).new()
    new = merchants.NewMerchant(merchant_id, name, fee_ppm, tuple(return_origin or ()), validity, not keep_fee)

    async def work(tx: db.Tx) -> merchants.ApiKey:
        await merchants.create_merchant(tx, new, now=SystemClock().now())
        return await create_key(tx, merchant_id, make_ids(settings).new(), merchants.KeyLimits(), reason)

    print_key(in_transaction(work, settings), as_json=as_json)


@merchant.command("list")
def list_all(
    part: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="Only merchants whose name contains this text.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most merchants to show.")] = 100,
    as_json: Json = False,
) -> None:
    """List merchants, newest first."""
    from hutong import merchants

    found = in_transaction(lambda tx: merchants.list_merchants(tx, part=part, limit=limit))
    documents = list(map(merchant_document, found))
    if as_json:
        print_json({"merchants": documents})
    elif documents:
        shown = ("merchant_id", "name", "status", "fee_ppm")
        origins = [{"return_origins": " ".join(document["return_origins"])} for document in documents]
        print_table([{name: row[name] for name in shown} | more for row, more in zip(documents, origins, strict=True)])
    else:
        print_line("no merchant is registered" if part is None else "no merchant has such a name")


@merchant.command("show")
def show(merchant_name: MerchantName, as_json: Json = False) -> None:
    """Show a merchant with its settings and keys, which are listed without their secrets."""
    from hutong import merchants

    async def work(tx: db.Tx) -> dict[str, Any]:
        found = await find_merchant(tx, merchant_name)
        listed = await merchants.list_api_keys(tx, [found.merchant_id])
        return merchant_document(found) | {"keys": key_documents(listed)}

    print_merchant(in_transaction(work), as_json=as_json)


@merchant.command("disable")
def disable(merchant_name: MerchantName, reason: Reason, as_json: Json = False) -> None:
    """Refuse a merchant's keys and new payments; payments, refunds and notifications under way go on."""
    _set_disabled(merchant_name, reason, disabled=True, as_json=as_json)


@merchant.command("enable")
def enable(merchant_name: MerchantName, reason: Reason, as_json: Json = False) -> None:
    """Accept a disabled merchant's keys and payments again."""
    _set_disabled(merchant_name, reason, disabled=False, as_json=as_json)


@merchant.command("overdraft")
def overdraft(
    merchant_name: MerchantName,
    limit_minor: Annotated[int, typer.Argument(metavar="LIMIT", min=0, help="In minor units; 0 ends the agreement.")],
    key: KeyFile,
    reason: Reason,
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "CNY",
) -> None:
    """Set how far refunds may take a merchant's balance below zero."""
    from hutong import bookkeeping

    async def work(tx: db.Tx) -> int:
        person, owner = await acting_person(tx, key, reason), await merchant_id_of(tx, merchant_name)
        return await bookkeeping.agree_overdraft(tx, person, owner, currency, limit_minor, now=SystemClock().now())

    print_line(f"{in_transaction(work)} -> {limit_minor} {currency}")


def _set_disabled(merchant_name: str, reason: str, *, disabled: bool, as_json: bool) -> None:
    from hutong import merchants

    async def work(tx: db.Tx) -> merchants.Merchant:
        merchant_id, now = await merchant_id_of(tx, merchant_name), SystemClock().now()

        def change(old: merchants.Merchant) -> merchants.Merchant:
            return replace(old, disabled_at=(old.disabled_at or now) if disabled else None)

        return await merchants.update_merchant(tx, merchant_id, change, reason=reason, now=now)

    document = merchant_document(in_transaction(work))
    print_result(document, f"{document['merchant_id']} is {document['status']}", as_json=as_json)
