"""Merchants on the command line: found by id or by name, and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.output import print_json, print_line
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from hutong import db, merchants

MerchantName = Annotated[str, typer.Argument(metavar="MERCHANT", help="The merchant, by id (mer_…) or by name.")]

_SAME_NAME_MAX = 1_000


async def find_merchant(tx: db.Tx, text: str) -> merchants.Merchant:
    """Return the merchant with this id or this name, in capitals or not.

    Errors:
        NotFound: no merchant has it.
        InvalidParameter: several have it.
    """
    from hutong import ids, merchants
    from hutong.errors import InvalidParameter, NotFound

    if text.startswith("mer_"):
        identifier = ids.decode("mer", text)
        found = list((await merchants.find_merchants(tx, [identifier])).values())
    else:
        listed = await merchants.list_merchants(tx, part=text, limit=_SAME_NAME_MAX)
        found = [merchant for merchant in listed if merchant.name.casefold() == text.casefold()]
    if not found:
        raise NotFound("no merchant has this id or name; `hutong merchant list` shows all", param="MERCHANT")
    if len(found) > 1:
        several = ", ".join(ids.encode("mer", merchant.merchant_id) for merchant in found)
        raise InvalidParameter(f"several merchants have this name: {several}", param="MERCHANT")
    return found[0]


async def merchant_id_of(tx: db.Tx, text: str) -> UUID:
    """Return the id of the merchant with this id or name. Errors as `find_merchant`."""
    return (await find_merchant(tx, text)).merchant_id


def merchant_document(merchant: merchants.Merchant) -> dict[str, Any]:
    """Return what commands show of a merchant."""
    from hutong import ids

    validity, disabled_at = merchant.payment_validity, merchant.disabled_at
    return {
        "merchant_id": ids.encode("mer", merchant.merchant_id),
        "name": merchant.name,
        "status": "enabled" if disabled_at is None else "disabled",
        "disabled_at": None if disabled_at is None else disabled_at.isoformat(),
        "fee_ppm": merchant.fee_ppm,
        "returns_fee": merchant.returns_fee,
        "return_origins": list(merchant.return_origins),
        "validity_minutes": None if validity is None else int(validity.total_seconds() // 60),
        "logo": merchant.logo,
        "color": merchant.color,
        "methods": list(merchant.methods),
        "switching": merchant.switching,
    }


def key_documents(keys: Sequence[merchants.RegisteredKey]) -> list[dict[str, Any]]:
    """Return what commands show of keys."""
    from hutong import ids

    return [
        {
            "key_id": ids.encode("key", key.key_id),
            "scopes": None if key.scopes is None else sorted(key.scopes),
            "created_at": key.created_at.isoformat(),
            "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
            "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(),
        }
        for key in keys
    ]


def print_merchant(document: dict[str, Any], *, as_json: bool) -> None:
    """Print what commands show of a merchant, and of its keys if they are part of it."""
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        if name != "keys":
            text = " ".join(value) if isinstance(value, list) else value
            print_line(f"{name:<17} {'-' if text in (None, '') else text}")
    issued = document.get("keys", [])
    print_table([key | {"scopes": "all" if key["scopes"] is None else " ".join(key["scopes"])} for key in issued])
