"""Event types: a model for every type and version, JSON Schema for each, one AsyncAPI document for all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from typing_extensions import TypeAliasType

import hutong
from hutong import events, reconciliation
from hutong.api.merchant.customers import CustomerProfileObject
from hutong.api.operator.reconciliation.files import ReconciliationFileObject
from hutong.api.schemas.dispute import DisputeObject
from hutong.api.schemas.fields import PageObject
from hutong.api.schemas.open_names import EventTypeName
from hutong.api.schemas.payment import PaymentObject
from hutong.api.schemas.reconciliation import ReconciliationResultObject, ReconciliationStatementObject
from hutong.api.schemas.refund import RefundObject
from hutong.api.schemas.stream import add_streams
from hutong.api.schemas.webhook import WebhookEndpointObject
from hutong.customers import CUSTOMER_UPDATED
from hutong.payments import PaymentEventType, disputes, refunds

_REFERENCES = "#/components/schemas/{model}"


class EventObject(BaseModel):
    """The fields around the `data` of every event."""

    id: str = Field(pattern=r"^evt_[0-7][0-9a-z]{25}$", description="The same in every repetition.")
    type: str
    version: int = Field(description="The version of the form of `data`; an added field does not raise it.")
    created_at: datetime = Field(description="The instant of recording.")
    object_seq: int = Field(ge=1, description="Counts the events of this object, from 1, without a gap.")
    test: Literal[True] | None = Field(
        default=None, description="Only in test events, which `hutong events trigger` sends: nothing has happened."
    )


EventData = TypeAliasType(
    "EventData", Annotated[dict[str, Any], Field(description="The object at that moment; `object` names its kind.")]
)


class ListedEvent(EventObject):
    """An event as webhooks carry it. Its type says which object `data` is."""

    type: EventTypeName
    data: EventData


class EventList(PageObject):
    """A page of events, newest first."""

    data: list[ListedEvent]
    kept_since: datetime | None = Field(
        description="Events from before this instant are in the installation's archive; null while there is none."
    )


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event in one version.

    Attributes:
        data: The model of its data: the object as the transaction of the event left it.
        when: The occasion of the event.
        books: The bookings of the same transaction.
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
        parts = self.name.replace(".", "_").split("_")
        fields: dict[str, Any] = {
            "type": (Literal[self.name], ...),
            "version": (Literal[self.version], EventObject.model_fields["version"]),
            "data": (self.data, Field(description="The object at that moment.")),
        }
        name = "".join(part.capitalize() for part in parts) + f"V{self.version}"
        return create_model(name, __base__=EventObject, __doc__=self.when + ".", **fields)


ReconciliationEventType = reconciliation.runs.ReconciliationEventType
_P, _R, _D = PaymentEventType, refunds.RefundEventType, disputes.DisputeEventType
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
    EventType(_P.UPDATED, 1, PaymentObject, "You have changed the `metadata` of a payment"),
    EventType(_P.ATTEMPT_FAILED, 1, PaymentObject, "A channel has refused an attempt; the payer may start another one"),
    EventType(
        _P.NO_METHOD,
        1,
        PaymentObject,
        "A payer has opened the cashier and no method was offered, because of the amount or the currency, or since "
        "every channel account is down; once for each payment",
    ),
    EventType(
        _P.SURPLUS,
        1,
        PaymentObject,
        "A channel took money that no payment counts: after the end, or a second time",
        "The amount is booked as surplus",
    ),
    EventType(
        _P.EXCEPTION_OPENED,
        1,
        PaymentObject,
        "A channel has reported what does not fit it, such as another amount; the platform decides",
    ),
    EventType(
        _P.EXCEPTION_DECIDED,
        1,
        PaymentObject,
        "Two persons of the platform have decided about what did not fit: the payment has the state that follows",
        "What was taken is booked as a payment or as surplus; what was ignored is not",
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
        _R.FAILED_AFTER_SUCCESS,
        1,
        RefundObject,
        "A refund that had succeeded has failed, such as one that the payer's bank has returned; the amount can be "
        "refunded again",
        "What was booked of the refund is booked back",
    ),
    EventType(
        _R.SUPERSEDED,
        1,
        RefundObject,
        "The channel refuses a refund since it has given the money back already, in its portal",
        "The reserve is released",
    ),
    EventType(
        _R.NEEDS_ATTENTION,
        1,
        RefundObject,
        "Surplus could not be returned yet, money went out through a method that had failed, or a refund has failed "
        "after its success",
        "The unexplained part is booked as suspense",
    ),
    EventType(
        _D.OPENED,
        1,
        DisputeObject,
        "A payer disputes a payment; with `needs_response`, answer before `due_at`",
        "What the channel has taken and charged is held from you",
    ),
    EventType(
        _D.UPDATED,
        1,
        DisputeObject,
        "A dispute has changed: its state, its figures or its time, and also one that had ended and is open again",
        "The difference of what the channel has taken and charged is held or released",
    ),
    EventType(
        _D.WON,
        1,
        DisputeObject,
        "A dispute has ended for you, or was withdrawn",
        "What the channel gives back is released; the rest is booked for good",
    ),
    EventType(
        _D.LOST,
        1,
        DisputeObject,
        "A dispute has ended for the payer",
        "What the channel has taken and charged is booked for good",
    ),
    EventType(
        _D.ACCEPTED,
        1,
        DisputeObject,
        "A dispute has ended since you have accepted it, or have settled with the payer",
        "As for `dispute.lost`",
    ),
    EventType(_D.DUE_SOON, 1, DisputeObject, "A dispute still needs your answer, 72 or 24 hours before `due_at`"),
    EventType(_D.OVERDUE, 1, DisputeObject, "`due_at` of a dispute has passed without an answer"),
    EventType(
        CUSTOMER_UPDATED,
        1,
        CustomerProfileObject,
        "You have set a customer's name or picture outside of orders",
    ),
    EventType(
        events.ENDPOINT_DISABLED,
        1,
        WebhookEndpointObject,
        "Every attempt to reach one of your endpoints had failed for five days, and nothing more is sent there",
    ),
    EventType(
        ReconciliationEventType.STATEMENT_READY,
        1,
        ReconciliationStatementObject,
        "Your reconciled rows of a day are there for another channel, or a corrected file has changed them",
    ),
)
"""Every type of event that webhooks carry, each in its current version."""

PLATFORM_EVENT_TYPES = (
    EventType(
        ReconciliationEventType.COMPLETED,
        1,
        ReconciliationResultObject,
        "An account's day was reconciled, and its results are others than before",
        "Differences, fees and arrived money, as `differences` and `matched` state them",
    ),
    EventType(
        ReconciliationEventType.BILL_CLOSED,
        1,
        ReconciliationFileObject,
        "All money of a channel's bill has arrived at the bank",
        "The last part of it moves from 1101 to 1001",
    ),
    EventType(
        ReconciliationEventType.BILL_REOPENED,
        1,
        ReconciliationFileObject,
        "The bank has taken back money of a channel's bill that was closed",
        "It moves from 1001 back to 1101, where the channel owes it",
    ),
)
"""Every type of event that belongs to no merchant: streams carry them, and no webhook does."""


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return a JSON Schema (2020-12) for each type, complete in itself, by file name."""
    documents = {}
    for one in (*EVENT_TYPES, *PLATFORM_EVENT_TYPES):
        schema = one.model.model_json_schema()
        head = {"$schema": GenerateJsonSchema.schema_dialect, "$id": f"urn:hutong:event:{one.name}:v{one.version}"}
        documents[one.file] = head | schema
    return documents


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of webhooks and of streams."""
    mode: Literal["validation"] = "validation"
    _, schemas = models_json_schema(
        [(one.model, mode) for one in (*EVENT_TYPES, *PLATFORM_EVENT_TYPES)], ref_template=_REFERENCES
    )
    messages = _messages(EVENT_TYPES)
    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hutong events",
            "version": hutong.__version__,
            "description": "Events, sent to merchants as webhooks signed by the Standard Webhooks rules, "
            "and to your own systems in numbered streams at a broker.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "webhooks": {
                "address": None,
                "description": "The address of a webhook endpoint that the merchant has created.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"http": {}},
            }
        },
        "operations": {
            "tell": {
                "action": "send",
                "summary": "Send an event to a merchant; at least once, an object's events in order.",
                "channel": {"$ref": "#/channels/webhooks"},
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
        },
        "components": {"messages": messages, "schemas": {"WebhookHeaders": _HEADERS, **schemas["$defs"]}},
    }
    add_streams(document, _messages(PLATFORM_EVENT_TYPES))
    return document


def _messages(types: tuple[EventType, ...]) -> dict[str, Any]:
    return {
        f"{one.name}.v{one.version}": {
            "name": one.name,
            "title": f"{one.name} v{one.version}",
            "summary": one.when + ".",
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/WebhookHeaders"},
            "payload": {"$ref": _REFERENCES.format(model=one.model.__name__)},
        }
        for one in types
    }


WEBHOOK_HEADERS = {
    "webhook-id": {"type": "string", "description": "The event's id."},
    "webhook-timestamp": {"type": "string", "description": "The instant of this attempt, in seconds since 1970."},
    "webhook-signature": {"type": "string", "description": "`v1,…` or `v1a,…`; several, separated by a blank."},
}
"""The headers of a webhook, each with its schema."""

_HEADERS = {"type": "object", "required": list(WEBHOOK_HEADERS), "properties": WEBHOOK_HEADERS}
