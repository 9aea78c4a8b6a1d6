"""Merchants and their keys, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID


class Switching(StrEnum):
    """When a payer may leave an order that is open at a channel for another method."""

    STRICT = "strict"
    """Once the channel has confirmed that the open order cannot be paid any more."""
    PERMISSIVE = "permissive"
    """At once, if nobody has opened the order; a second success is given back as surplus."""


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
    """A registered merchant.

    Attributes:
        disabled_at: Since when its keys are refused and it takes no new payments; None while it is enabled.
        color: The color of its cashier as `#rrggbb`; None takes the cashier's.
        methods: Wallets (`wechat`) and methods (`alipay_qr`) that its cashier shows first, in this order.
        switching: When a payer may choose another method; None takes the installation's rule.
        logo: The SHA-256 of its logo in hexadecimal, by which `Directory.logo` returns it; None without a logo.
    """

    merchant_id: UUID
    name: str
    fee_ppm: int
    return_origins: tuple[str, ...]
    payment_validity: timedelta | None = None
    returns_fee: bool = True
    disabled_at: datetime | None = None
    color: str | None = None
    methods: tuple[str, ...] = ()
    switching: Switching | None = None
    logo: str | None = None


class Scope(StrEnum):
    """What an API key may be used for. None includes another."""

    PAYMENTS_READ = "payments:read"
    """See payments, refunds, disputes, payment records, customers and methods."""
    PAYMENTS_WRITE = "payments:write"
    """Create payments, start attempts, capture and close; set customers' names."""
    REFUNDS_WRITE = "refunds:write"
    """Give money back."""
    DISPUTES_WRITE = "disputes:write"
    """Answer disputes, or accept them."""
    WEBHOOKS_READ = "webhooks:read"
    """See webhook endpoints and deliveries."""
    WEBHOOKS_WRITE = "webhooks:write"
    """Create, change and remove webhook endpoints, and have events sent again."""
    EVENTS_READ = "events:read"
    """See events."""
    BALANCE_READ = "balance:read"
    """See balances."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may be used for, and how long.

    Attributes:
        scopes: None is everything, what later versions add included.
        expires_at: From when the key is refused; None is never.
    """

    scopes: frozenset[str] | None = None
    expires_at: datetime | None = None


UNLIMITED = KeyLimits()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is shown once. `secret` is the text for the Authorization header; only its hash is kept."""

    key_id: UUID
    merchant_id: UUID
    secret: str


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A key as it can be listed. `scopes` and `expires_at` are those of its `KeyLimits`."""

    key_id: UUID
    merchant_id: UUID
    scopes: frozenset[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
