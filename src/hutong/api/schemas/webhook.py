"""Webhook endpoints in the API: requests and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from hutong import events
from hutong.api.requests import Instant, OptionalText, RequestModel, Text
from hutong.api.schemas.enums import DisabledReason
from hutong.api.schemas.fields import ListObject, PageObject
from hutong.api.schemas.open_names import EventTypeName

EVENT_ID = r"^evt_[0-7][0-9a-z]{25}$"
URL = r"^https?://[\x21-\x7e]{1,2000}$"


class WebhookEndpointCreate(RequestModel):
    """A new endpoint."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://shop.example/hutong/events", "types": ["payment.succeeded"]}]}
    )

    url: str = Field(pattern=URL, description="Must be https, outside the sandbox.")
    types: list[EventTypeName] = Field(
        default=[], max_length=64, description="Event types to send, such as `payment.succeeded`; none means all."
    )
    scheme: Annotated[events.Scheme, Strict(False)] = Field(
        default=events.Scheme.HMAC,
        description=(
            "The signature scheme. `hmac` and `ed25519` follow Standard Webhooks; `rsa2` is the legacy mode: "
            "a signed form that is acknowledged by the text `success`."
        ),
    )
    description: Text | None = Field(
        default=None, min_length=1, max_length=200, description="Your own text about the endpoint."
    )


class WebhookEndpointUpdate(RequestModel):
    """The changes of an endpoint. A field that you leave out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"types": ["payment.succeeded", "refund.succeeded"]}]})

    url: str | None = Field(
        default=None, pattern=URL, description="The new address, for events that are waiting too; https as before."
    )
    types: list[EventTypeName] | None = Field(
        default=None, max_length=64, description="The event types to send from now on; an empty list means all."
    )
    description: OptionalText | None = Field(
        default=None, max_length=200, description="Your own text about it; an empty one removes it."
    )
    enabled: bool | None = Field(default=None, description="Whether events are sent to it, from now on.")


class WebhookEndpointRotate(RequestModel):
    """A new secret, beside the previous one for a while."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_hours": 24}]})

    overlap_hours: int = Field(
        default=24, ge=0, le=168, description="The time for which the previous secret signs too; 0 drops it at once."
    )


class WebhookReplay(RequestModel):
    """The events to send again: one event, those of a period, or those that could not be delivered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"failed": True}]})

    event_id: str | None = Field(default=None, pattern=EVENT_ID, description="This event alone.")
    begin: Instant | None = Field(default=None, description="Events recorded at or after this instant.")
    end: Instant | None = Field(default=None, description="Events recorded before this instant.")
    failed: bool = Field(default=False, description="Only events whose attempts have all failed.")
    cursor: str | None = Field(default=None, pattern=EVENT_ID, description="The `next_cursor` of the previous answer.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.event_id is None) == (self.begin is None and self.end is None and not self.failed):
            raise ValueError("`event_id` excludes `begin`, `end` and `failed`, and one of them is required")
        return self


class WebhookReplayed(BaseModel):
    """The result of a replay."""

    object: Literal["webhook_replay"]
    replayed: int = Field(
        description="The number of events that will be sent again; pending deliveries are not counted."
    )
    has_more: bool = Field(description="Whether to continue with `next_cursor`.")
    next_cursor: str | None


class WebhookRequest(BaseModel):
    """The request of an attempt."""

    url: str = Field(description="With what looks secret masked.")
    headers: dict[str, str] = Field(description="With the signature masked.")
    body: str = Field(description="The first 1,024 characters.")


class WebhookDelivery(BaseModel):
    """One attempt to deliver an event."""

    id: str
    object: Literal["webhook_delivery"]
    event_id: str
    event_type: EventTypeName
    number: int = Field(description="Counts the attempts from 1, and again from 1 after a replay.")
    state: events.DeliveryAttemptState = Field(description="After `failed` another attempt follows, after `dead` none.")
    at: datetime
    duration_ms: int
    status: int | None = Field(description="The HTTP status of your answer; null if there was none.")
    error: str | None = Field(
        description="The failure, such as `status`, `timeout`, `tls_failed`, `connection_failed`, `address_refused`."
    )
    request: WebhookRequest


class WebhookDeliveryList(PageObject):
    """A page of attempts, newest first."""

    data: list[WebhookDelivery]


class WebhookEndpointObject(BaseModel):
    """A webhook endpoint. Its `secret` is shown once, when it is made."""

    id: str
    object: Literal["webhook_endpoint"]
    url: str
    description: str | None = Field(default=None, description="Your own text about it.")
    types: list[EventTypeName]
    scheme: events.Scheme
    public_key: str | None = Field(
        description="Verifies signatures: `whpk_…` for `ed25519`, base64 for `rsa2`, null for `hmac`."
    )
    previous_until: datetime | None = Field(description="Until when the previous secret signs too.")
    failing_since: datetime | None = Field(description="The first failed attempt since the last success.")
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None = Field(description="`failing`: every attempt had failed for five days.")
    created_at: datetime


class NewWebhookEndpointObject(WebhookEndpointObject):
    """A webhook endpoint with its new secret, which is shown only now."""

    secret: str | None = Field(
        description="Verifies signatures, by the rules of Standard Webhooks: `whsec_…`; null if there is a public key."
    )


class WebhookEndpointList(ListObject):
    """All webhook endpoints of the merchant."""

    data: list[WebhookEndpointObject]
