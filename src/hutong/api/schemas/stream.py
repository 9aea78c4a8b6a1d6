"""Streams at a broker: their part of the AsyncAPI document."""

from __future__ import annotations

from typing import Any

from hutong import events

_STREAM = {"type": "string", "description": "`{source}.{topic}.{zone}`, such as hutong.payment.0."}
_NUMBER = {"type": "integer", "minimum": 1}
_FIRST = {**_NUMBER, "description": "The first number of the range."}
_LAST = {**_NUMBER, "description": "The last number of the range, included."}

SCHEMAS: dict[str, Any] = {
    "InStream": {
        "type": "object",
        "description": "The fields of an event in its stream, besides those of a webhook.",
        "required": ["stream", "no", "object_id", "merchant_id"],
        "properties": {
            "stream": _STREAM,
            "no": {**_NUMBER, "description": "Counts the events of the stream, from 1, without a gap."},
            "object_id": {
                "type": "string",
                "format": "uuid",
                "description": "The object of the event; its events keep their order.",
            },
            "merchant_id": {
                "type": ["string", "null"],
                "pattern": "^mer_[0-7][0-9a-z]{25}$",
                "description": "Null for an event of the platform itself, which no webhook carries.",
            },
        },
    },
    "StreamDigest": {
        "type": "object",
        "description": "A summary of what a stream has carried from one number to another.",
        "required": ["id", "type", "version", "stream", "from", "to", "count", "hash", "created_at"],
        "properties": {
            "id": {"type": "string", "pattern": "^dig_[0-7][0-9a-z]{25}$"},
            "type": {"const": events.DIGEST},
            "version": {"const": 1},
            "stream": _STREAM,
            "from": _FIRST,
            "to": _LAST,
            "count": {**_NUMBER, "description": "The number of messages in the range."},
            "hash": {
                "type": "string",
                "pattern": "^[0-9a-f]{64}$",
                "description": "SHA-256 of the messages' SHA-256 hashes, joined in order of their numbers.",
            },
            "created_at": {"type": "string", "format": "date-time"},
            "answer": {"type": "boolean", "description": "The digest answers a request."},
        },
    },
    "StreamRequest": {
        "type": "object",
        "description": "A listener asks for a range of a stream again, or for digests of its parts.",
        "required": ["kind", "stream", "from", "to"],
        "properties": {
            "kind": {"enum": ["resend", "digest"]},
            "stream": _STREAM,
            "from": _FIRST,
            "to": {**_LAST, "description": f"The last number; at most {events.RESEND_MAX} at once."},
            "parts": {**_NUMBER, "description": "The number of parts, for digests; 16 by default."},
        },
    },
    "StreamHeaders": {
        "type": "object",
        "required": ["stream", "type"],
        "properties": {
            "stream": _STREAM,
            "type": {"type": "string"},
            "no": {**_NUMBER, "description": "Absent in a digest."},
            "resent": {"type": "boolean", "description": "The message was sent again on request."},
        },
    },
}


def add_streams(document: dict[str, Any], of_platform: dict[str, Any]) -> None:
    """Add the exchange and the queue of the broker, with their messages, to the AsyncAPI document of webhooks.

    Args:
        of_platform: The messages that no webhook carries.
    """
    in_stream = {"$ref": "#/components/schemas/InStream"}
    messages = {
        f"stream.{name}": _message(one["name"], {"allOf": [one["payload"], in_stream]})
        for name, one in (document["components"]["messages"] | of_platform).items()
    }
    messages[events.DIGEST] = _message(events.DIGEST, {"$ref": "#/components/schemas/StreamDigest"})
    request = _message("request", {"$ref": "#/components/schemas/StreamRequest"})
    del request["headers"]
    document["components"]["schemas"] |= SCHEMAS
    document["components"]["messages"] |= messages | {"stream.request": request}
    document["channels"] |= {
        "streams": {
            "address": "hutong.events",
            "description": "The topic exchange of RabbitMQ, with the type as routing key; a topic for each at Kafka.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            "bindings": {
                "amqp": {
                    "is": "routingKey",
                    "exchange": {"name": "hutong.events", "type": "topic", "durable": True, "autoDelete": False},
                    "bindingVersion": "0.3.0",
                }
            },
        },
        "requests": {
            "address": "hutong.events.requests",
            "description": "The queue of listeners' requests for missing messages.",
            "messages": {"request": {"$ref": "#/components/messages/stream.request"}},
            "bindings": {
                "amqp": {
                    "is": "queue",
                    "queue": {"name": "hutong.events.requests", "durable": True, "exclusive": False},
                    "bindingVersion": "0.3.0",
                }
            },
        },
    }
    document["operations"] |= {
        "publish": {
            "action": "send",
            "summary": "Publish every event in its stream, confirmed; at least once, an object's events in order.",
            "channel": {"$ref": "#/channels/streams"},
            "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}},
        },
        "answer": {
            "action": "receive",
            "summary": "Publish a range again, or digests of its parts.",
            "channel": {"$ref": "#/channels/requests"},
        },
    }


def _message(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/StreamHeaders"},
        "payload": payload,
    }
