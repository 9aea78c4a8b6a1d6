"""The registration of merchants, and the rules for their data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from hutong import db
from hutong.errors import InvalidParameter
from hutong.merchants.model import Merchant, NewMerchant
from hutong.merchants.statements import sql

FEE_PPM_MAX = 200_000
NAME_LENGTH_MAX = 64
VALIDITY_MIN = timedelta(minutes=1)


async def create_merchant(tx: db.Tx, new: NewMerchant, *, now: datetime) -> Merchant:
    """Register a merchant.

    Errors:
        InvalidParameter: the name is empty, too long or not printable, the fee is out of range, a return origin is
            not `scheme://host[:port]`, or the payment validity is below one minute.
    """
    if not new.name.strip() or len(new.name) > NAME_LENGTH_MAX or not new.name.isprintable():
        raise InvalidParameter(f"`name` must have 1 to {NAME_LENGTH_MAX} printable characters", param="name")
    if not 0 <= new.fee_ppm <= FEE_PPM_MAX:
        raise InvalidParameter(f"`fee_ppm` must lie between 0 and {FEE_PPM_MAX} parts per million", param="fee_ppm")
    for origin in new.return_origins:
        if not _is_origin(origin):
            raise InvalidParameter(
                "`return_origins` must be origins such as https://shop.example", param="return_origins"
            )
    if new.payment_validity is not None and new.payment_validity < VALIDITY_MIN:
        raise InvalidParameter("`payment_validity` must be at least one minute", param="payment_validity")
    merchant = Merchant(**asdict(new), enabled=True)
    await sql.insert_merchant.execute(tx, created_at=now, **asdict(merchant))
    return merchant


def check_return_url(merchant: Merchant, url: str, param: str = "return_url") -> None:
    """Refuse to send payers to an address that the merchant has not registered.

    Args:
        param: The parameter with the address, for the error.

    Errors:
        InvalidParameter: the address has an origin that is not among the merchant's return origins.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    origins = merchant.return_origins
    if parts is None or "@" in parts.netloc or f"{parts.scheme}://{parts.netloc}" not in origins:
        raise InvalidParameter(f"the origin of `{param}` is not registered for this merchant", param=param)


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_web and "@" not in text and text.isascii() and text == f"{parts.scheme}://{parts.netloc}"


async def find_merchants(tx: db.Tx, merchant_ids: Sequence[UUID]) -> dict[UUID, Merchant]:
    """Return the merchants with these ids, by id; absent ones are left out."""
    rows = await sql.find_merchants.fetch(tx, merchant_ids)
    return {merchant.merchant_id: merchant for merchant in map(read_merchant, rows)}


read_merchant = db.reader(Merchant, sql["merchant"], return_origins=tuple)
