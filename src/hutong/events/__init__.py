"""What happened, told to those who must know: the outbox, and out of it webhooks, and streams for a broker.

Promises: an event is written in the transaction that makes it true, or not at all; each object's events are numbered
1, 2, 3, … without a gap; each enabled endpoint that wants an event gets it at least once, under one id, an object's
events in order; nothing is sent to an address that is not public, outside the sandbox; every event has a number in its
stream, 1, 2, 3, … without a gap, and is published to the broker at least once.
"""

from hutong.events.archive import Archived, EventArchived, find_event, keep_events, write_archive
from hutong.events.model import (
    Delivery,
    DeliveryAttempt,
    DeliveryAttemptState,
    DeliveryState,
    DisabledReason,
    Endpoint,
    Event,
    NewEndpoint,
    RecordedEvent,
    Scheme,
)
from hutong.events.outbox import deliveries_of, list_events, record
from hutong.events.partitions import make_partitions
from hutong.events.streams.brokers.connector import connector
from hutong.events.streams.messages import (
    DIGEST,
    DigestEntry,
    StreamItem,
    digest,
    digest_hash,
    item,
    item_hash,
    message,
)
from hutong.events.streams.relay import Connect, Relay
from hutong.events.streams.sequencer import SEQUENCE_EVERY_S, sequence
from hutong.events.streams.streams import (
    RESEND_MAX,
    Publisher,
    Stream,
    answer_request,
    list_streams,
    read_stream,
    resend,
    send_digests,
)
from hutong.events.versions import object_versions
from hutong.events.webhooks.attempts import delivery_attempt_document, list_delivery_attempts
from hutong.events.webhooks.client import body_of
from hutong.events.webhooks.endpoint_health import ENDPOINT_DISABLED, FAILING_MAX
from hutong.events.webhooks.endpoints import (
    OVERLAP_MAX,
    create_endpoint,
    disable_endpoint,
    enable_endpoint,
    endpoint_document,
    find_endpoint,
    list_endpoints,
    rotate_endpoint,
)
from hutong.events.webhooks.replay import REPLAY_MAX, ReplayRequest, ReplayResult, replay
from hutong.events.webhooks.worker import Counts, WebhookWorker

__all__ = [
    "DIGEST",
    "ENDPOINT_DISABLED",
    "FAILING_MAX",
    "OVERLAP_MAX",
    "REPLAY_MAX",
    "RESEND_MAX",
    "SEQUENCE_EVERY_S",
    "Archived",
    "Connect",
    "Counts",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryAttemptState",
    "DeliveryState",
    "DigestEntry",
    "DisabledReason",
    "Endpoint",
    "Event",
    "EventArchived",
    "NewEndpoint",
    "Publisher",
    "RecordedEvent",
    "Relay",
    "ReplayRequest",
    "ReplayResult",
    "Scheme",
    "Stream",
    "StreamItem",
    "WebhookWorker",
    "answer_request",
    "body_of",
    "connector",
    "create_endpoint",
    "deliveries_of",
    "delivery_attempt_document",
    "digest",
    "digest_hash",
    "disable_endpoint",
    "enable_endpoint",
    "endpoint_document",
    "find_endpoint",
    "find_event",
    "item",
    "item_hash",
    "keep_events",
    "list_delivery_attempts",
    "list_endpoints",
    "list_events",
    "list_streams",
    "make_partitions",
    "message",
    "object_versions",
    "read_stream",
    "record",
    "replay",
    "resend",
    "rotate_endpoint",
    "send_digests",
    "sequence",
    "write_archive",
]
