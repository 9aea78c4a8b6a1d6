"""Registering merchants, giving keys out and taking them back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from hutong import db, ids
from hutong.errors import InvalidParameter, NotFound
from hutong.merchants.model import ApiKey, Merchant, NewMerchant
from hutong.merchants.statements import sql

FEE_PPM_MAX = 200_000
NAME_LENGTH_MAX = 64
VALIDITY_MIN = timedelta(minutes=1)


async def create_merchant(tx: db.Tx, new: NewMerchant, *, now: datetime) -> Merchant:
    """Register a merchant.

    Errors:
        InvalidParameter: a name that is empty, too long or not printable, a fee out of range, a return origin that
            is not `scheme://host[:port]`, less than a minute to pay.
    """
    if not new.name.strip() or len(new.name) > NAME_LENGTH_MAX or not new.name.isprintable():
        raise InvalidParameter("a merchant's name has 1 to 64 printable characters", param="name")
    if not 0 <= new.fee_ppm <= FEE_PPM_MAX:
        raise InvalidParameter(f"a fee lies between 0 and {FEE_PPM_MAX} parts per million", param="fee_ppm")
    for origin in new.return_origins:
        if not _is_origin(origin):
            raise InvalidParameter("a return origin looks like https://shop.example", param="return_origins")
    if new.payment_validity is not None and new.payment_validity < VALIDITY_MIN:
        raise InvalidParameter("a payment may be paid for one minute at least", param="payment_validity")
    await sql.insert_merchant.execute(
        tx,
        new.merchant_id,
        new.name,
        new.fee_ppm,
        list(new.return_origins),
        now,
        new.payment_validity,
        new.returns_fee,
    )
    return Merchant(
        new.merchant_id,
        new.name,
        new.fee_ppm,
        new.return_origins,
        enabled=True,
        payment_validity=new.payment_validity,
        returns_fee=new.returns_fee,
    )


def check_return_url(merchant: Merchant, url: str | None) -> None:
    """Refuse to send payers to an address that the merchant has not registered.

    Errors:
        InvalidParameter: the address has an origin that is not among the merchant's return origins.
    """
    if url is None:
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    origins = merchant.return_origins
    if parts is None or "@" in parts.netloc or f"{parts.scheme}://{parts.netloc}" not in origins:
        raise InvalidParameter("the origin of `return_url` is not registered for this merchant", param="return_url")


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return whole and "@" not in text and text.isascii() and text == f"{parts.scheme}://{parts.netloc}"


async def create_api_key(tx: db.Tx, merchant_id: UUID, *, key_id: UUID, random: str, now: datetime) -> ApiKey:
    """Give a merchant one more key.

    Args:
        random: At least 32 random bytes as text; the part of the key that cannot be guessed.

    Errors:
        NotFound: there is no such merchant.
    """
    secret = f"sk_{ids.encode('key', key_id).removeprefix('key_')}_{random}"
    if await sql.insert_api_key.execute(tx, key_id, merchant_id, hash_key(secret), now) == "INSERT 0 0":
        raise NotFound("no merchant has this id")
    return ApiKey(key_id, merchant_id, secret)


async def revoke_api_key(tx: db.Tx, key_id: UUID, *, now: datetime) -> None:
    """Take a key back.

    Repeat:
        The first revocation's time stays.

    Errors:
        NotFound: there is no such key.
    """
    if await sql.revoke_api_key.execute(tx, key_id, now) == "UPDATE 0":
        raise NotFound("no API key has this id")


async def find_merchants(tx: db.Tx, merchant_ids: Sequence[UUID]) -> dict[UUID, Merchant]:
    """The merchants with these ids; absent ones are left out."""
    return {row["id"]: merchant_of(row) for row in await sql.find_merchants.fetch(tx, merchant_ids)}


def hash_key(secret: str) -> bytes:
    """What we keep of a key. A key holds 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode()).digest()


def merchant_of(row: asyncpg.Record) -> Merchant:
    return Merchant(
        row["id"],
        row["name"],
        row["fee_ppm"],
        tuple(row["return_origins"]),
        row["enabled"],
        row["payment_validity"],
        row["returns_fee"],
    )
