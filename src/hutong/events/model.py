"""Events, endpoints and deliveries: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from hutong import ids


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one object, of one merchant or of the platform itself.

    Attributes:
        event_id: A new UUIDv7, under which it is kept.
        type: Dotted, the object first, such as "payment.succeeded".
        merchant_id: None for an event of the platform itself, which goes into its stream and to no endpoint.
        object_id: The object of the event; the events of an object are numbered and kept in order.
        payload: The JSON object `data`, as a mapping or as JSON text.
        version: The version of the payload's form.
    """

    event_id: UUID
    type: str
    merchant_id: UUID | None
    object_id: UUID
    payload: Mapping[str, Any] | bytes | str
    version: int = 1


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event in the outbox.

    Attributes:
        event_id: Its key in the outbox, of its time.
        object_seq: Counts the object's events from 1 without a gap.
        public_id: The id by which receivers know it, which follows from object, number and type. None for an event from
            before such ids, which is known by its key.
    """

    event_id: UUID
    type: str
    version: int
    merchant_id: UUID | None
    object_id: UUID
    object_seq: int
    data: str
    created_at: datetime
    public_id: UUID | None = None

    @property
    def name(self) -> str:
        """The id by which receivers know the event, in its public form."""
        return event_name(self.event_id, self.public_id)


def event_name(event_id: UUID, public_id: UUID | None) -> str:
    """Return the public form of the id by which receivers know an event."""
    return ids.encode("evt", public_id or event_id)


class Scheme(StrEnum):
    """The way in which an endpoint's requests are signed."""

    HMAC = "hmac"
    """Standard Webhooks with a shared secret."""
    ED25519 = "ed25519"
    """Standard Webhooks with a key pair, whose private half never leaves us."""
    RSA2 = "rsa2"
    """The legacy mode: a signed form, acknowledged by the text `success`."""


class DisabledReason(StrEnum):
    """The reason why an endpoint is disabled."""

    MERCHANT = "merchant"
    FAILING = "failing"
    """Every attempt had failed for days."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a merchant that receives events.

    Attributes:
        types: Exact names of event types; empty means all.
        public_key: Verifies the signatures, unless the shared secret does.
        previous_until: The previous secret signs too until this instant.
        failing_since: The first failed attempt since the last success.
        description: The merchant's own text about it.
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
    description: str | None = None


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint with its shared secret, which is shown only now; None if the endpoint has a public key instead."""

    endpoint: Endpoint
    secret: str | None


class DeliveryState(StrEnum):
    """The state of a delivery. DELIVERED and DEAD are final, unless somebody replays the event."""

    PENDING = "pending"
    DELIVERED = "delivered"
    """The endpoint answered 2xx."""
    DEAD = "dead"
    """Every attempt failed, or the endpoint was disabled; only a person sends the event again."""


class DeliveryAttemptState(StrEnum):
    """The result of one delivery attempt."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """Another attempt follows."""
    DEAD = "dead"
    """It was the last attempt."""


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt to deliver an event, from the log.

    Attributes:
        number: Counts the attempts since the event was recorded or replayed.
        answer: The beginning of an unsuccessful answer, with what looks secret masked. For operators only: shown to
            merchants it would let them read servers that they cannot reach themselves.
    """

    attempt_id: UUID
    endpoint_id: UUID
    event: RecordedEvent
    number: int
    state: DeliveryAttemptState
    attempted_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    answer: str | None
