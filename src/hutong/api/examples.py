"""Examples of answers and events in the OpenAPI documents: built from the schemas, with values that people know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_ID = "_01kanf39z6e8rvqv6dkc35j5c1"
_INSTANT = "2026-11-21T10:42:07.123Z"
_OWN_IDS = {
    "Payment": "pay", "Attempt": "att", "Refund": "ref", "Dispute": "dsp", "DisputeResponse": "dsr", "Bill": "pay",
    "BillRefund": "ref", "BillMerchant": "mer", "WebhookEndpoint": "whe", "NewWebhookEndpoint": "whe",
    "WebhookDelivery": "whd", "OperatorBill": "pay", "Proposal": "prp", "Exception": "exc", "Decision": "rtd",
    "Override": "ovr", "Suggestion": "sug", "RoutingAccount": "acc",
}  # fmt: skip
"""The prefixes of ids by schema. What is not here has an id of the merchant's own."""

_OTHER_IDS = {
    "payment_id": "pay", "attempt_id": "att", "refund_id": "ref", "event_id": "evt", "maker_id": "opr",
    "operator_id": "opr", "proposal_id": "prp",
}  # fmt: skip
"""The prefixes of ids by field."""

_VALUES: Mapping[str, Any] = {
    "PaymentStatus": "succeeded", "AttemptState": "succeeded", "RefundState": "succeeded", "RefundRoute": "original",
    "RecordStatus": "succeeded", "PaymentMethod": "wechat_native", "ChannelName": "wechat",
    "EventTypeName": "payment.succeeded",
    "account": "wechat/main", "amount": "19.99", "amount_captured_minor": 1999, "amount_minor": 1999,
    "amount_paid_minor": 1999, "amount_settled_minor": 1999,
    "channel_order_no": "4200000000202611210000000001",
    "checkout_url": "https://pay.example/pay/Jb1xPLVLU8UAUzHd9XfNBA2v", "content": "weixin://wxpay/bizpayurl?pr=4Yk9",
    "currency": "CNY", "currencies": [], "enabled": True, "finished_at": _INSTANT, "id": "u-1001",
    "merchant_order_no": "2026-000123", "merchant_refund_no": "2026-000123-R1", "metadata": {"basket": "77"},
    "method": "wechat_native", "name": "Example Store", "number": 1, "object_seq": 1, "quantity": 1,
    "reason": "Damaged on arrival", "return_url": "https://shop.example/return",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "status": 200, "subject": "Example Store, order 123",
    "succeeded_at": _INSTANT, "url": "https://shop.example/hutong/events",
}  # fmt: skip
"""Values by schema or by field. A field that may be null is null unless it is here."""


def add_examples(document: Json) -> None:
    """Give every answer with a body, and every event, an example."""
    schemas = document["components"]["schemas"]
    for path in document["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status < "4":
                    _add(answer.get("content", {}), schemas)
    for event in document.get("webhooks", {}).values():
        _add(event["post"]["requestBody"]["content"], schemas)


def _add(content: Json, schemas: Mapping[str, Json]) -> None:
    media = content.get("application/json")
    if media is not None and not media.keys() & {"example", "examples"}:
        media["example"] = _build(media["schema"], schemas, owner="", field="")


def _build(schema: Json, schemas: Mapping[str, Json], *, owner: str, field: str) -> Any:
    """Return a value that fits a schema.

    Args:
        owner: The name of the schema that has the field, or of the one that is built.
        field: The field; empty for a whole answer.
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in _VALUES:
            return _VALUES[name]
        found = schemas[name]
        if "examples" in found:
            return found["examples"][0]
        # An enumeration belongs to the field, an object has fields of its own.
        return _build(found, schemas, owner=name if "properties" in found else owner, field=field)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        may_be_null = {"type": "null"} in schema["anyOf"]
        if may_be_null and field not in _VALUES and field not in _OTHER_IDS:
            return None
        return _build(schema["anyOf"][0], schemas, owner=owner, field=field)
    if "properties" in schema:
        fields = schema["properties"].items()
        return {name: _build(each, schemas, owner=owner, field=name) for name, each in fields}
    if "items" in schema:
        return [_build(schema["items"], schemas, owner=owner, field=field)]
    return _plain(schema, owner, field)


def _plain(schema: Json, owner: str, field: str) -> Any:
    kind, form = schema.get("type"), schema.get("format")
    if kind == "string" and form in _FORMATS:
        return _FORMATS[form]
    if kind == "string" and field == "id" and owner in _OWN_IDS:
        return _OWN_IDS[owner] + _ID
    if kind == "string" and field == "id" and "pattern" in schema:
        return "evt" + _ID
    if kind == "string" and field in _OTHER_IDS:
        return _OTHER_IDS[field] + _ID
    value = _VALUES.get(field)
    if type(value) is _TYPES.get(str(kind)):
        return value
    least = schema.get("minimum", 0)
    return {"string": "", "integer": least, "number": float(least), "boolean": False}.get(str(kind), {})


_FORMATS = {"date-time": _INSTANT, "date": "2026-11-21", "uuid": "0196c1a2-b3c4-7000-8000-000000000001"}
_TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict}
