"""What happened, told to those who must know: the outbox, and webhooks out of it.

Promises: an event is written in the transaction that makes it true, or not at all; each object's events are numbered
1, 2, 3, … without a gap; each enabled endpoint that wants an event gets it at least once, under one id, an object's
events in order; nothing is sent to an address that is not public, outside the sandbox.
"""

from hutong.events.deliverer import Counts, Deliverer
from hutong.events.endpoint import create_endpoint, disable_endpoint, list_endpoints
from hutong.events.model import Delivery, DeliveryState, Endpoint, Event, NewEndpoint, RecordedEvent
from hutong.events.record import deliveries_of, list_events, record

__all__ = [
    "Counts",
    "Deliverer",
    "Delivery",
    "DeliveryState",
    "Endpoint",
    "Event",
    "NewEndpoint",
    "RecordedEvent",
    "create_endpoint",
    "deliveries_of",
    "disable_endpoint",
    "list_endpoints",
    "list_events",
    "record",
]
