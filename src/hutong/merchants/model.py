"""Merchants and their keys, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NewMerchant:
    """A merchant to register.

    Attributes:
        name: Shown to payers; 1 to 64 characters.
        fee_ppm: Our fee for each payment, in parts per million of its amount, taken at success.
        return_origins: Origins (`https://shop.example`) to which payers may return.
        payment_validity: The default time for which its payments stay payable; None takes the installation's.
        returns_fee: Whether a refund returns our fee in proportion.
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
    """A key as it is shown once. `secret` is the text for the Authorization header; only its hash is kept."""

    key_id: UUID
    merchant_id: UUID
    secret: str
