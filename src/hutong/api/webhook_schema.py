"""What merchants send and see of webhook endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hutong.api.schema import RequestModel


class WebhookEndpointCreate(RequestModel):
    """Where events are to be sent."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://shop.example/hutong/events", "types": ["payment.succeeded"]}]}
    )

    url: str = Field(pattern=r"^https?://[\x21-\x7e]{1,2000}$", description="https, outside the sandbox.")
    types: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$", max_length=100)]] = Field(
        default=[], max_length=64, description="Event types to send, such as `payment.succeeded`; none means all."
    )


class WebhookEndpointObject(BaseModel):
    """A webhook endpoint. `secret` is shown once, when it is created."""

    id: str
    object: Literal["webhook_endpoint"]
    url: str
    types: list[str]
    enabled: bool
    created_at: datetime


class NewWebhookEndpointObject(WebhookEndpointObject):
    """A webhook endpoint as it is created: the only time its secret is shown."""

    secret: str = Field(description="Verifies signatures, by the rules of Standard Webhooks: `whsec_…`.")


class WebhookEndpointList(BaseModel):
    """All webhook endpoints of the merchant."""

    object: Literal["list"]
    data: list[WebhookEndpointObject]
