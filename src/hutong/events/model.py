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


class Scheme(StrEnum):
    """How an endpoint's requests are signed."""

    HMAC = "hmac"
    """Standard Webhooks with a shared secret."""
    ED25519 = "ed25519"
    """Standard Webhooks with a key pair, whose private half never leaves us."""
    RSA2 = "rsa2"
    """The legacy mode: a signed form, acknowledged by the text `success`."""


class DisabledReason(StrEnum):
    """Why an endpoint gets nothing."""

    MERCHANT = "merchant"
    FAILING = "failing"
    """Every try had failed for days."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a merchant that wants events.

    Attributes:
        types: Exact names; empty means all.
        public_key: What verifies the signatures, unless that is the shared secret.
        previous_until: While the secret of before signs too.
        failing_since: The first try of those that have failed without a success since.
    """

    endpoint_id: UUID
    merchant_id: UUID
    url: str
    types: tuple[str, ...]
    scheme: Scheme
    public_key: str | None
    previous_until: datetime | None
    failing_since: datetime | None
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint with its shared secret, which is shown this once; None if it has a public key instead."""

    endpoint: Endpoint
    secret: str | None


class DeliveryState(StrEnum):
    """DELIVERED and DEAD are final, unless somebody has the event sent again."""

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


class DeliveryAttemptState(StrEnum):
    """What came of one try."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """Another one follows."""
    DEAD = "dead"
    """It was the last one."""


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One try of a delivery, as the log has it.

    Attributes:
        number: Counts the tries since the event was recorded or sent again.
        answer: The beginning of an answer that was not a success, without what looks secret. It is for operators: shown
            to merchants it would let them read what they cannot reach themselves.
    """

    try_id: UUID
    endpoint_id: UUID
    event: RecordedEvent
    number: int
    state: DeliveryAttemptState
    tried_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    answer: str | None
