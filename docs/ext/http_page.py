"""The page of the HTTP API, from the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from hutong.api import Services, create_app
from hutong.clock import SystemClock
from hutong.ids import Ids

JSON = dict[str, Any]


def document() -> JSON:
    """Return the OpenAPI document of this version."""

    @asynccontextmanager
    async def no_services() -> AsyncIterator[Services]:
        raise AssertionError("the description needs no services")
        yield

    openapi: JSON = create_app(no_services, identifiers=Ids(SystemClock())).openapi()
    return openapi


def page(api: JSON) -> str:
    """Render the operations by tag, then their objects."""
    return "\n".join(_lines(api)) + "\n"


def _lines(api: JSON) -> Iterator[str]:
    by_tag: dict[str, list[tuple[str, str, JSON]]] = {}
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    for tag, operations in by_tag.items():
        yield f"## {tag}\n"
        for method, path, operation in operations:
            yield from _operation(api, method, path, operation)
    yield "## Objects\n"
    for name, schema in sorted(api["components"]["schemas"].items()):
        yield f"({_anchor(name)})=\n### {name}\n"
        yield schema.get("description", "") + "\n"
        yield from _fields(schema) if "properties" in schema else [f"One of {_type(schema)}.\n"]


def _operation(api: JSON, method: str, path: str, operation: JSON) -> Iterator[str]:
    yield f"### {operation['summary']}\n"
    yield f"```http\n{method} {path} HTTP/1.1\n```\n"
    for scheme in (name for required in operation.get("security", []) for name in required):
        key = {"ApiKey": "an API key: `Authorization: Bearer sk_…`", "OperatorKey": "an operator's key: `sk_opr_…`"}
        yield f"Requires {key[scheme]}.\n"
    yield operation.get("description", "") + "\n"
    if operation.get("parameters"):
        yield "| parameter | in | type | |\n|---|---|---|---|"
        for parameter in operation["parameters"]:
            required = "Required. " if parameter.get("required") else ""
            description = required + parameter.get("description", "")
            yield _row(f"`{parameter['name']}`", parameter["in"], _type(parameter["schema"]), description)
        yield ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        schema = api["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
        yield f"Body: {_type(body['schema'])}\n"
        yield f"```json\n{json.dumps(schema['examples'][0], indent=2, ensure_ascii=False)}\n```\n"
    yield "| answer | | body |\n|---|---|---|"
    for status, answer in sorted(operation["responses"].items()):
        schemas = [content["schema"] for content in answer.get("content", {}).values() if "schema" in content]
        if any("HTTPValidationError" in schema.get("$ref", "") for schema in schemas):
            continue  # the framework's own answer; such requests get a problem document, or 404
        contents = [_type(schema) for schema in schemas]
        meaning = answer["description"].replace("Successful Response", "Success.")
        yield _row(status, meaning, ", ".join(contents))
    yield ""


def _fields(schema: JSON) -> Iterator[str]:
    yield "| field | type | |\n|---|---|---|"
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        notes = [field.get("description", "")]
        if name not in required and "default" in field and field["default"] not in (None, [], {}):
            notes.append(f"Default: `{json.dumps(field['default'])}`.")
        optional = "" if name in required else " (optional)"
        yield _row(f"`{name}`{optional}", _type(field), " ".join(note for note in notes if note))
    yield ""


def _type(schema: JSON) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    text = f"{kind} ({schema['format']})" if "format" in schema else str(kind)
    limits = [
        f"{label} {schema[key]:,}"
        for key, label in (("minimum", "≥"), ("maximum", "≤"), ("minLength", "length ≥"), ("maxLength", "length ≤"))
        if key in schema
    ]
    if "pattern" in schema:
        limits.append(f"`{schema['pattern']}`")
    return ", ".join([text, *limits])


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _anchor(name: str) -> str:
    return f"object-{name.lower()}"
