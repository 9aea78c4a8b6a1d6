"""What is recorded, whom it is told to, and what came of telling: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one object of one merchant.

    Attributes:
        event_id: A new UUIDv7; receivers know repetitions by it.
        type: Dotted, object first, such as "payment.succeeded".
        object_id: What it happened to; its events are numbered and kept in order.
        payload: The JSON object `data`, as a mapping or as JSON text.
        version: Of the form that the payload has.
    """

    event_id: UUID
    type: str
    merchant_id: UUID
    object_id: UUID
    payload: Mapping[str, Any] | bytes | str
    version: int = 1


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as the journal has it. `object_seq` counts the object's events from 1 without a gap."""

    event_id: UUID
    type: str
    version: int
    merchant_id: UUID
    object_id: UUID
    object_seq: int
    data: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a merchant that wants events. `types` are exact names; empty means all."""

    endpoint_id: UUID
    merchant_id: UUID
    url: str
    types: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint with its secret, which is shown this once."""

    endpoint: Endpoint
    secret: str


class DeliveryState(StrEnum):
    """DELIVERED and DEAD are final."""

    PENDING = "pending"
    DELIVERED = "delivered"
    """The endpoint answered 2xx."""
    DEAD = "dead"
    """Every try failed, or the endpoint was disabled; only a person sends it again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of telling one endpoint of one event. `next_at` is set while it is pending."""

    endpoint_id: UUID
    event_id: UUID
    state: DeliveryState
    attempts: int
    next_at: datetime | None
    last_at: datetime | None
    last_status: int | None
    last_error: str | None
    last_duration_ms: int | None
