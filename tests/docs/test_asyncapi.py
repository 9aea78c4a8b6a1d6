"""The documents for programs are what their standards say, and describe every type of event."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest

from hutong import api, customers, events, ids, payments, reconciliation
from hutong.clock import SystemClock
from hutong.events.streams.messages import digest_hash, digest_item, item_hash, message_body
from hutong.ids import Ids
from hutong.payments.disputes import DisputeEventType
from hutong.payments.refunds.model import RefundEventType
from support import unavailable

SPECIFICATION = "@asyncapi/specs@6.11.1"


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> jsonschema_rs.Validator:
    """The JSON Schema of AsyncAPI 3.0, as its authors publish it."""
    folder = tmp_path_factory.mktemp("asyncapi")
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), SPECIFICATION]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=240)
    except (OSError, subprocess.SubprocessError) as error:
        unavailable(f"npm cannot fetch {SPECIFICATION}: {error}")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        file = archive.extractfile("package/schemas/3.0.0-without-$id.json")
        assert file is not None
        return jsonschema_rs.validator_for(json.load(file))


def test_the_asyncapi_document_is_one(official: jsonschema_rs.Validator) -> None:
    assert [str(error) for error in official.iter_errors(api.asyncapi())] == []


@pytest.mark.parametrize("part", ["info", "channels", "operations", "asyncapi"])
def test_a_document_with_a_part_broken_is_none(official: jsonschema_rs.Validator, part: str) -> None:
    assert not official.is_valid(api.asyncapi() | {part: 3})


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = api.asyncapi()
    wanted = list(_references(document))
    assert len(wanted) > 3 * len(api.EVENT_TYPES)
    for reference in wanted:
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def test_every_type_has_one_current_version_with_a_schema_of_its_own() -> None:
    schemas = api.json_schemas()
    types = [
        *payments.PaymentEventType,
        *RefundEventType,
        *DisputeEventType,
        customers.CUSTOMER_UPDATED,
        events.ENDPOINT_DISABLED,
        *reconciliation.runs.ReconciliationEventType,
    ]
    assert sorted(schemas) == sorted(f"{one}.v1.json" for one in types)
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)


PARTS = ("RefundItemObject", "ChannelDiscountObject")
"""A line of a refund and a discount of a payment, which have the currency."""


def test_an_amount_is_an_integer_beside_a_currency() -> None:
    for name, definition in api.asyncapi()["components"]["schemas"].items():
        amounts = {key: field for key, field in definition.get("properties", {}).items() if key.endswith("_minor")}
        for key, field in amounts.items():
            assert field["type"] == "integer", (name, key)
        if amounts and name not in PARTS:
            assert definition["properties"]["currency"]["type"] == "string", name


NEW = Ids(SystemClock()).new


def stream_validator(message: str) -> jsonschema_rs.Validator:
    """Of the payload of one of a stream's messages."""
    document = api.asyncapi()
    return jsonschema_rs.validator_for(
        {**document["components"]["messages"][message]["payload"], "components": document["components"]}
    )


def test_a_message_of_a_stream_is_as_described() -> None:
    name, now = "webhook_endpoint.disabled", SystemClock().now()
    data = {
        "id": ids.encode("whe", NEW()),
        "object": "webhook_endpoint",
        "url": "https://shop.example/hook",
        "types": [],
        "scheme": "hmac",
        "previous_until": None,
        "public_key": None,
        "enabled": False,
        "disabled_reason": "failing",
        "failing_since": None,
        "created_at": "2026-01-01T00:00:00.000Z",
        "disabled_at": "2026-01-06T00:00:00.000Z",
    }
    event = events.RecordedEvent(NEW(), name, 1, NEW(), uuid4(), 1, json.dumps(data), now)
    documented = json.loads(message_body("hutong.webhook_endpoint.0", 7, event))
    described = stream_validator(f"stream.{name}.v1")
    assert [str(error) for error in described.iter_errors(documented)] == []
    for field in ("id", "stream", "no", "type", "version", "object_id", "object_seq", "merchant_id", "data"):
        assert not described.is_valid({key: value for key, value in documented.items() if key != field})


def test_a_digest_is_as_described() -> None:
    hashed = digest_hash([item_hash(b"{}")])
    made = digest_item(NEW(), "hutong.payment.0", 3, 3, hashed, now=SystemClock().now(), answer=True)
    documented, described = json.loads(made.body), stream_validator(events.DIGEST)
    assert [str(error) for error in described.iter_errors(documented)] == []
    assert set(documented) == set(api.asyncapi()["components"]["schemas"]["StreamDigest"]["properties"])
    assert not described.is_valid(documented | {"hash": "x"})


def test_what_is_published_is_what_the_code_says(tmp_path: Path, parts: dict[str, str]) -> None:
    import generate

    generate.publish(tmp_path / "events")
    published = {file.name: json.loads(file.read_text()) for file in (tmp_path / "events").iterdir()}
    assert published == {"asyncapi.json": api.asyncapi(), **api.json_schemas()}
