"""`hutong merchant …`"""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from uuid import UUID

from hutong import config, db, ids, ledger, merchants
from hutong.cli.common import in_transaction
from hutong.clock import SystemClock
from hutong.errors import NotFound
from hutong.ids import Ids


def run_create(
    name: str,
    fee_ppm: int,
    return_origins: tuple[str, ...],
    validity_minutes: int | None = None,
    *,
    returns_fee: bool = True,
    as_json: bool,
) -> None:
    """Register a merchant with its first key."""
    settings, clock = config.load(), SystemClock()
    identifiers = Ids(clock, zone=settings.zone)

    async def work(tx: db.Tx) -> merchants.ApiKey:
        validity = None if validity_minutes is None else timedelta(minutes=validity_minutes)
        new = merchants.NewMerchant(identifiers.new(), name, fee_ppm, return_origins, validity, returns_fee)
        await merchants.create_merchant(tx, new, now=clock.now())
        return await _key(tx, new.merchant_id, identifiers, clock)

    _show(in_transaction(settings, work), as_json=as_json)


def run_overdraft(merchant_id: str, limit_minor: int, currency: str, *, by: str, reason: str) -> None:
    """Agree how far refunds may take a merchant's balance below zero."""
    owner = ids.decode("mer", merchant_id)

    async def work(tx: db.Tx) -> int:
        if owner not in await merchants.find_merchants(tx, [owner]):
            raise NotFound("no merchant has this id")
        return await ledger.agree_overdraft(
            tx, owner, currency, limit_minor, by=by, reason=reason, now=SystemClock().now()
        )

    print(f"{in_transaction(config.load(), work)} -> {limit_minor} {currency}")


def run_add_key(merchant_id: str, *, as_json: bool) -> None:
    """Give a merchant one more key."""
    settings, clock = config.load(), SystemClock()
    owner = ids.decode("mer", merchant_id)

    async def work(tx: db.Tx) -> merchants.ApiKey:
        return await _key(tx, owner, Ids(clock, zone=settings.zone), clock)

    _show(in_transaction(settings, work), as_json=as_json)


def run_revoke_key(key_id: str) -> None:
    """Take a key back."""
    identifier = ids.decode("key", key_id)

    async def work(tx: db.Tx) -> None:
        await merchants.revoke_api_key(tx, identifier, now=SystemClock().now())

    in_transaction(config.load(), work)
    print("revoked")


async def _key(tx: db.Tx, merchant_id: UUID, identifiers: Ids, clock: SystemClock) -> merchants.ApiKey:
    return await merchants.create_api_key(
        tx, merchant_id, key_id=identifiers.new(), random=secrets.token_urlsafe(32), now=clock.now()
    )


def _show(key: merchants.ApiKey, *, as_json: bool) -> None:
    shown = {
        "merchant_id": ids.encode("mer", key.merchant_id),
        "key_id": ids.encode("key", key.key_id),
        "api_key": key.secret,
    }
    if as_json:
        print(json.dumps(shown))
        return
    for name, value in shown.items():
        print(f"{name:<12} {value}")
    print("The API key is not shown again.")
