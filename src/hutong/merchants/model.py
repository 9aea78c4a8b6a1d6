"""A merchant and its keys, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NewMerchant:
    """What it takes to register a merchant.

    Attributes:
        name: Shown to payers; 1 to 64 characters.
        fee_ppm: What we keep of each payment, in parts per million of its amount, taken at success.
        return_origins: Origins (`https://shop.example`) that payers may be sent back to.
        payment_validity: How long its payments may be paid where an order does not say; None takes the installation's.
        returns_fee: Whether our fee goes back in proportion with what is refunded.
    """

    merchant_id: UUID
    name: str
    fee_ppm: int = 0
    return_origins: tuple[str, ...] = ()
    payment_validity: timedelta | None = None
    returns_fee: bool = True


@dataclass(frozen=True, slots=True)
class Merchant:
    """A registered merchant."""

    merchant_id: UUID
    name: str
    fee_ppm: int
    return_origins: tuple[str, ...]
    enabled: bool
    payment_validity: timedelta | None = None
    returns_fee: bool = True


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is given out, once. `secret` is the text for the Authorization header; we keep its hash only."""

    key_id: UUID
    merchant_id: UUID
    secret: str
