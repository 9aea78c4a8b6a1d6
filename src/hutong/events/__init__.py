"""What happened, told to those who must know: the outbox, and webhooks out of it.

Promises: an event is written in the transaction that makes it true, or not at all; each object's events are numbered
1, 2, 3, … without a gap; each enabled endpoint that wants an event gets it at least once, under one id, an object's
events in order; nothing is sent to an address that is not public, outside the sandbox.
"""

from hutong.events.deliverer import Counts, Deliverer
from hutong.events.endpoint import (
    OVERLAP_MAX,
    create_endpoint,
    disable_endpoint,
    enable_endpoint,
    endpoint_document,
    find_endpoint,
    list_endpoints,
    rotate_endpoint,
)
from hutong.events.health import ENDPOINT_DISABLED, FAILING_MAX
from hutong.events.log import list_tries, try_document
from hutong.events.model import (
    Delivery,
    DeliveryState,
    DisabledReason,
    Endpoint,
    Event,
    NewEndpoint,
    RecordedEvent,
    Scheme,
    Try,
    TryState,
)
from hutong.events.record import deliveries_of, list_events, record
from hutong.events.replay import REPLAY_MAX, Replayed, Wanted, replay
from hutong.events.sequence import SEQUENCE_EVERY_S, sequence

__all__ = [
    "ENDPOINT_DISABLED",
    "FAILING_MAX",
    "OVERLAP_MAX",
    "REPLAY_MAX",
    "SEQUENCE_EVERY_S",
    "Counts",
    "Deliverer",
    "Delivery",
    "DeliveryState",
    "DisabledReason",
    "Endpoint",
    "Event",
    "NewEndpoint",
    "RecordedEvent",
    "Replayed",
    "Scheme",
    "Try",
    "TryState",
    "Wanted",
    "create_endpoint",
    "deliveries_of",
    "disable_endpoint",
    "enable_endpoint",
    "endpoint_document",
    "find_endpoint",
    "list_endpoints",
    "list_events",
    "list_tries",
    "record",
    "replay",
    "rotate_endpoint",
    "sequence",
    "try_document",
]
