"""A customer, as a merchant knows them: frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Customer:
    """A payer, as the merchant knows them.

    Attributes:
        id: The merchant's own id; the same person has the same one in every order.
        avatar: A name of the picture's current version, such as its hash; never the picture itself.
    """

    id: str
    name: str | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True)
class PutCustomer:
    """A command to replace the name and the picture of a merchant's customer."""

    merchant_id: UUID
    customer: Customer


@dataclass(frozen=True, slots=True)
class CustomerProfile:
    """A customer's current name and picture, and the instant of their last change."""

    customer: Customer
    updated_at: datetime
