"""What merchants send and see of webhook endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hutong.api.schemas.payment import Instant, RequestModel

EVENT_ID = r"^evt_[0-7][0-9a-z]{25}$"


class WebhookEndpointCreate(RequestModel):
    """Where events are to be sent."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://shop.example/hutong/events", "types": ["payment.succeeded"]}]}
    )

    url: str = Field(pattern=r"^https?://[\x21-\x7e]{1,2000}$", description="https, outside the sandbox.")
    types: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$", max_length=100)]] = Field(
        default=[], max_length=64, description="Event types to send, such as `payment.succeeded`; none means all."
    )
    scheme: Literal["hmac", "ed25519", "rsa2"] = Field(
        default="hmac",
        description=(
            "How requests are signed. `hmac` and `ed25519` follow Standard Webhooks; `rsa2` is the legacy mode: a "
            "signed form that is acknowledged by the text `success`."
        ),
    )


class WebhookEndpointRotate(RequestModel):
    """A new secret, beside the one of before for a while."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_hours": 24}]})

    overlap_hours: int = Field(
        default=24, ge=0, le=168, description="How long the secret of before signs too; 0 forgets it at once."
    )


class WebhookReplay(RequestModel):
    """Which events to send again: one, those of a time, or those that were given up."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"failed": True}]})

    event_id: str | None = Field(default=None, pattern=EVENT_ID, description="This one alone.")
    begin: Instant | None = Field(default=None, description="Those recorded from here on.")
    end: Instant | None = Field(default=None, description="Those recorded before this instant.")
    failed: bool = Field(default=False, description="Only those whose tries have all failed.")
    cursor: str | None = Field(default=None, pattern=EVENT_ID, description="`next_cursor` of the answer before.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.event_id is None) == (self.begin is None and self.end is None and not self.failed):
            raise ValueError("name either event_id, or begin, end or failed")
        return self


class WebhookReplayed(BaseModel):
    """What will be sent again."""

    object: Literal["webhook_replay"]
    replayed: int = Field(description="How many; what is on its way already is not counted.")
    has_more: bool = Field(description="Whether to go on with `next_cursor`.")
    next_cursor: str | None


class WebhookRequest(BaseModel):
    """What was sent."""

    url: str = Field(description="Without what looks secret in it.")
    headers: dict[str, str] = Field(description="Without the signature.")
    body: str = Field(description="At most 1,024 characters of it.")


class WebhookDelivery(BaseModel):
    """One try to deliver an event."""

    id: str
    object: Literal["webhook_delivery"]
    event_id: str
    event_type: str
    number: int = Field(description="Counts the tries, from 1; again from 1 when the event is sent again.")
    state: Literal["delivered", "failed", "dead"] = Field(description="`failed` is tried again, `dead` is not.")
    at: datetime
    duration_ms: int
    status: int | None = Field(description="Of your answer; null if there was none.")
    error: str | None = Field(
        description="Such as `status`, `timeout`, `tls_failed`, `connection_failed`, `address_refused`."
    )
    request: WebhookRequest


class WebhookDeliveryList(BaseModel):
    """A page of tries, newest first."""

    object: Literal["list"]
    data: list[WebhookDelivery]
    has_more: bool
    next_cursor: str | None


class WebhookEndpointObject(BaseModel):
    """A webhook endpoint. Its `secret` is shown once, when it is made."""

    id: str
    object: Literal["webhook_endpoint"]
    url: str
    types: list[str]
    scheme: Literal["hmac", "ed25519", "rsa2"]
    public_key: str | None = Field(
        description="Verifies signatures: `whpk_…` for `ed25519`, base64 for `rsa2`, null for `hmac`."
    )
    previous_until: datetime | None = Field(description="Until when the secret of before signs too.")
    failing_since: datetime | None = Field(description="Since when every try has failed.")
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: Literal["merchant", "failing"] | None = Field(
        description="`failing`: every try had failed for five days."
    )
    created_at: datetime


class NewWebhookEndpointObject(WebhookEndpointObject):
    """A webhook endpoint as it is created or gets a new secret: the only time that it is shown."""

    secret: str | None = Field(
        description="Verifies signatures, by the rules of Standard Webhooks: `whsec_…`; null if there is a public key."
    )


class WebhookEndpointList(BaseModel):
    """All webhook endpoints of the merchant."""

    object: Literal["list"]
    data: list[WebhookEndpointObject]
