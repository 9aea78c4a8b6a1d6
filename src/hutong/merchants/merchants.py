"""The registration of merchants, changes of their settings, and the rules for both."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from hutong import db, ids, operators
from hutong.errors import InvalidParameter, NotFound
from hutong.merchants.logo import read_logo
from hutong.merchants.model import Merchant, NewMerchant
from hutong.merchants.statements import sql

FEE_PPM_MAX = 200_000
NAME_LENGTH_MAX = 64
VALIDITY_MIN = timedelta(minutes=1)
METHODS_MAX = 32

_COLOR = re.compile(r"#[0-9a-f]{6}")
_METHOD = re.compile(r"[a-z][a-z0-9_]{0,63}")


async def create_merchant(tx: db.Tx, new: NewMerchant, *, now: datetime) -> Merchant:
    """Register a merchant.

    Errors:
        InvalidParameter: the name is empty, too long or not printable, the fee is out of range, a return origin is
            not `scheme://host[:port]`, or the payment validity is below one minute.
    """
    merchant = Merchant(**asdict(new))
    _check(merchant)
    await sql.insert_merchant.execute(tx, created_at=now, **asdict(new))
    return merchant


async def update_merchant(
    tx: db.Tx, merchant_id: UUID, change: Callable[[Merchant], Merchant], *, reason: str, now: datetime
) -> Merchant:
    """Change the settings of a merchant, which all processes use within five seconds.

    Args:
        change: Returns the merchant as it shall be; its id and its logo cannot be changed here.

    Effects:
        Locks the merchant; writes an audit entry with what has changed.

    Repeat:
        A change that changes nothing writes nothing.

    Errors:
        NotFound: there is no such merchant.
        InvalidParameter: as for `create_merchant`; a color is not `#rrggbb`, or a method has no name of one.
    """
    before = await _lock(tx, merchant_id)
    after = change(before)
    assert (after.merchant_id, after.logo) == (merchant_id, before.logo)
    _check(after)
    changed = [field.name for field in fields(Merchant) if getattr(before, field.name) != getattr(after, field.name)]
    if changed:
        values = asdict(after)
        del values["logo"]
        await sql.update_merchant.execute(tx, **values)
        await _audit(tx, merchant_id, (before, after), changed, reason=reason, now=now)
    return after


async def set_logo(tx: db.Tx, merchant_id: UUID, content: bytes | None, *, reason: str, now: datetime) -> None:
    """Give a merchant another logo, or none. Effects and repetition as for `update_merchant`.

    Errors:
        NotFound: there is no such merchant.
        InvalidParameter: as for `read_logo`.
    """
    before = await _lock(tx, merchant_id)
    logo = None if content is None else read_logo(content)
    media_type, stored = (None, None) if logo is None else (logo.media_type, logo.content)
    after = await sql.set_logo.fetchval(tx, merchant_id, media_type, stored)
    if after != before.logo:
        entry = operators.AuditEntry(
            None, "merchant.update", "merchant", ids.encode("mer", merchant_id), reason,
            before={"logo": before.logo}, after={"logo": after},
        )  # fmt: skip
        await operators.audit(tx, [entry], now=now)


async def find_merchants(tx: db.Tx, merchant_ids: Sequence[UUID]) -> dict[UUID, Merchant]:
    """Return the merchants with these ids, by id; absent ones are left out."""
    rows = await sql.find_merchants.fetch(tx, merchant_ids)
    return {merchant.merchant_id: merchant for merchant in map(read_merchant, rows)}


async def find_logo(tx: db.Tx, digest: str | None) -> tuple[str, bytes] | None:
    """Return the media type and the content of the logo with this hash; None if there is none."""
    row = None if digest is None else await sql.find_logo.fetchrow(tx, digest)
    return None if row is None else (row["logo_media_type"], row["logo_content"])


async def list_merchants(tx: db.Tx, *, part: str | None = None, limit: int) -> list[Merchant]:
    """Return merchants, those registered last first.

    Args:
        part: Only merchants whose name contains this, in capitals or not.
    """
    return [read_merchant(row) for row in await sql.list_merchants.fetch(tx, part=part, limit=limit)]


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


async def _lock(tx: db.Tx, merchant_id: UUID) -> Merchant:
    row = await sql.lock_merchant.fetchrow(tx, merchant_id)
    if row is None:
        raise NotFound("no merchant has this id")
    return read_merchant(row)


async def _audit(
    tx: db.Tx, merchant_id: UUID, states: tuple[Merchant, Merchant], changed: Sequence[str], *, reason: str,
    now: datetime,
) -> None:  # fmt: skip
    """Write what has changed into the journal; turning a merchant off and on has an action of its own."""
    action = "merchant.update"
    if changed == ["disabled_at"]:
        action = "merchant.enable" if states[1].disabled_at is None else "merchant.disable"
    before, after = ({name: _plain(getattr(state, name)) for name in changed} for state in states)
    public_id = ids.encode("mer", merchant_id)
    entry = operators.AuditEntry(None, action, "merchant", public_id, reason, before=before, after=after)
    await operators.audit(tx, [entry], now=now)


def _plain(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _check(merchant: Merchant) -> None:
    name = merchant.name
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidParameter(f"`name` must have 1 to {NAME_LENGTH_MAX} printable characters", param="name")
    if not 0 <= merchant.fee_ppm <= FEE_PPM_MAX:
        raise InvalidParameter(f"`fee_ppm` must lie between 0 and {FEE_PPM_MAX} parts per million", param="fee_ppm")
    for origin in merchant.return_origins:
        if not _is_origin(origin):
            raise InvalidParameter(
                "`return_origins` must be origins such as https://shop.example", param="return_origins"
            )
    if merchant.payment_validity is not None and merchant.payment_validity < VALIDITY_MIN:
        raise InvalidParameter("`payment_validity` must be at least one minute", param="payment_validity")
    if merchant.color is not None and not _COLOR.fullmatch(merchant.color):
        raise InvalidParameter("`color` must be `#` and six hexadecimal digits in small letters", param="color")
    names = merchant.methods
    if len(names) > METHODS_MAX or len({*names}) < len(names) or not all(map(_METHOD.fullmatch, names)):
        raise InvalidParameter(
            f"`methods` must be at most {METHODS_MAX} different names such as wechat or alipay_qr", param="methods"
        )


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_web and "@" not in text and text.isascii() and text == f"{parts.scheme}://{parts.netloc}"


read_merchant = db.reader(Merchant, sql["merchant"], return_origins=tuple, methods=tuple)
