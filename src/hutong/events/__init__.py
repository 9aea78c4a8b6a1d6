"""Events: the outbox, the webhooks that carry them to merchants, and the streams that carry them to a broker.

Promises: an event is written in the transaction that makes it true, or not at all; the events of an object are numbered
1, 2, 3, … without a gap; each enabled endpoint that subscribes to an event receives it at least once, under one id, and
an object's events in order; outside the sandbox nothing is sent to an address that is not public; every event has a
number in its stream, 1, 2, 3, … without a gap, and is published to the broker at least once.
"""

from hutong.events import history

# isort: split
from hutong.events.archive import RetentionResult, apply_retention
from hutong.events.model import DeliveryAttemptState, Event, RecordedEvent, Scheme
from hutong.events.outbox import object_versions, record
from hutong.events.partitions import make_partitions
from hutong.events.streams.brokers.connector import connector
from hutong.events.streams.messages import DIGEST
from hutong.events.streams.relay import Connect, Relay
from hutong.events.streams.sequencer import SEQUENCE_EVERY_S, sequence
from hutong.events.streams.streams import RESEND_MAX, Stream, list_streams, read_stream, resend
from hutong.events.webhooks import direct
from hutong.events.webhooks.attempts import delivery_attempt_document, list_delivery_attempts
from hutong.events.webhooks.client import webhook_body
from hutong.events.webhooks.due import make_all_due
from hutong.events.webhooks.endpoint_health import ENDPOINT_DISABLED
from hutong.events.webhooks.endpoints import (
    EndpointChange,
    change_endpoint,
    create_endpoint,
    disable_endpoint,
    enable_endpoint,
    endpoint_document,
    find_endpoint,
    list_endpoints,
    rotate_endpoint,
)
from hutong.events.webhooks.replay import ReplayRequest, ReplayResult, replay
from hutong.events.webhooks.worker import WebhookWorker

__all__ = [
    "DIGEST",
    "ENDPOINT_DISABLED",
    "RESEND_MAX",
    "SEQUENCE_EVERY_S",
    "Connect",
    "DeliveryAttemptState",
    "EndpointChange",
    "Event",
    "RecordedEvent",
    "Relay",
    "ReplayRequest",
    "ReplayResult",
    "RetentionResult",
    "Scheme",
    "Stream",
    "WebhookWorker",
    "apply_retention",
    "change_endpoint",
    "connector",
    "create_endpoint",
    "delivery_attempt_document",
    "direct",
    "disable_endpoint",
    "enable_endpoint",
    "endpoint_document",
    "find_endpoint",
    "history",
    "list_delivery_attempts",
    "list_endpoints",
    "list_streams",
    "make_all_due",
    "make_partitions",
    "object_versions",
    "read_stream",
    "record",
    "replay",
    "resend",
    "rotate_endpoint",
    "sequence",
    "webhook_body",
]
