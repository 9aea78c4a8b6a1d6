"""What events carry: a model for every type and version, JSON Schema for each, one AsyncAPI document for all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

import hutong
from hutong import events
from hutong.api.merchant.customers import CustomerProfileObject
from hutong.api.schemas.payment import PaymentObject
from hutong.api.schemas.refund import RefundObject
from hutong.api.schemas.stream import add_streams
from hutong.api.schemas.webhook import WebhookEndpointObject
from hutong.payments import CUSTOMER_UPDATED, PaymentEventType, refunds

_REFERENCES = "#/components/schemas/{model}"


class EventObject(BaseModel):
    """What every event has around its `data`."""

    id: str = Field(pattern=r"^evt_[0-7][0-9a-z]{25}$", description="The same in every repetition.")
    type: str
    version: int = Field(description="Of the form of `data`; a field that is only added does not raise it.")
    created_at: datetime = Field(description="When it was recorded.")
    object_seq: int = Field(ge=1, description="Counts the events of this object, from 1, without a gap.")


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event in one version.

    Attributes:
        data: What it carries: the object as the transaction that wrote the event left it.
        when: What has happened.
        books: What was booked with it.
    """

    name: str
    version: int
    data: type[BaseModel]
    when: str
    books: str = "Nothing"

    @property
    def file(self) -> str:
        """The name of its JSON Schema file."""
        return f"{self.name}.v{self.version}.json"

    @property
    def model(self) -> type[EventObject]:
        """The whole event as a model."""
        words = self.name.replace(".", "_").split("_")
        fields: dict[str, Any] = {
            "type": (Literal[self.name], ...),
            "version": (Literal[self.version], EventObject.model_fields["version"]),
            "data": (self.data, Field(description="The object as it was then.")),
        }
        name = "".join(word.capitalize() for word in words) + f"V{self.version}"
        return create_model(name, __base__=EventObject, __doc__=self.when + ".", **fields)


_P, _R = PaymentEventType, refunds.RefundEventType
EVENT_TYPES = (
    EventType(
        _P.SUCCEEDED,
        1,
        PaymentObject,
        "A channel has proven that the money was taken",
        "The captured amount and our fee are booked",
    ),
    EventType(
        _P.AUTHORIZED,
        1,
        PaymentObject,
        "The payer's side has reserved the money of a payment with `capture_method: manual`; capture it before "
        "`capture_before`",
    ),
    EventType(
        _P.CAPTURED,
        1,
        PaymentObject,
        "The authorized money was taken, `amount_captured_minor` of it; `payment.succeeded` follows",
        "See there",
    ),
    EventType(_P.CLOSED, 1, PaymentObject, "The payment ended unpaid; `close_reason` says why"),
    EventType(_P.ATTEMPT_FAILED, 1, PaymentObject, "A channel has refused an attempt; the payer may try again"),
    EventType(
        _P.SURPLUS,
        1,
        PaymentObject,
        "A channel took money that no payment counts: after the end, or a second time",
        "The amount is booked as surplus",
    ),
    EventType(_R.SURPLUS_REFUNDED, 1, PaymentObject, "Surplus has gone back to the payer", "The surplus is booked out"),
    EventType(
        _R.SUCCEEDED,
        1,
        RefundObject,
        "The money is back with the payer",
        "The reserve is posted and the money booked out",
    ),
    EventType(_R.FAILED, 1, RefundObject, "A channel has proven that no money went back", "The reserve is released"),
    EventType(
        _R.NEEDS_ATTENTION,
        1,
        RefundObject,
        "Surplus could not be given back yet, or money went out by a way that had failed",
        "What is not explained is booked as suspense",
    ),
    EventType(
        CUSTOMER_UPDATED,
        1,
        CustomerProfileObject,
        "You have told of a customer outside of orders: a new name or picture",
    ),
    EventType(
        events.ENDPOINT_DISABLED,
        1,
        WebhookEndpointObject,
        "Every try to reach one of your endpoints had failed for five days, and nothing more is sent there",
    ),
)
"""Every type that is sent, each in the version that is sent now."""


def json_schemas() -> dict[str, dict[str, Any]]:
    """A JSON Schema (2020-12) for each type, complete in itself, by file name."""
    found = {}
    for one in EVENT_TYPES:
        schema = one.model.model_json_schema()
        head = {"$schema": GenerateJsonSchema.schema_dialect, "$id": f"urn:hutong:event:{one.name}:v{one.version}"}
        found[one.file] = head | schema
    return found


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document of webhooks and of streams."""
    mode: Literal["validation"] = "validation"
    _, schemas = models_json_schema([(one.model, mode) for one in EVENT_TYPES], ref_template=_REFERENCES)
    messages = {
        f"{one.name}.v{one.version}": {
            "name": one.name,
            "title": f"{one.name} v{one.version}",
            "summary": one.when + ".",
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/WebhookHeaders"},
            "payload": {"$ref": _REFERENCES.format(model=one.model.__name__)},
        }
        for one in EVENT_TYPES
    }
    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hutong events",
            "version": hutong.__version__,
            "description": "What happened: told to merchants by webhooks signed after the Standard Webhooks rules, "
            "and to your own systems by numbered streams at a broker.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "webhooks": {
                "address": None,
                "description": "The address of a webhook endpoint that the merchant has named.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"http": {}},
            }
        },
        "operations": {
            "tell": {
                "action": "send",
                "summary": "Tell a merchant what has happened; at least once, an object's events in order.",
                "channel": {"$ref": "#/channels/webhooks"},
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
        },
        "components": {"messages": messages, "schemas": {"WebhookHeaders": _HEADERS, **schemas["$defs"]}},
    }
    add_streams(document)
    return document


_HEADERS = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {"type": "string", "description": "The event's id."},
        "webhook-timestamp": {"type": "string", "description": "When this try was made, in seconds since 1970."},
        "webhook-signature": {"type": "string", "description": "`v1,…` or `v1a,…`; several, separated by a blank."},
    },
}
