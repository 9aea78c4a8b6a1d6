"""The pages of the HTTP API, from the OpenAPI documents: one for merchants, one for operators; and that of errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hutong.api import ERROR_CODES, GENERAL_CODES, Services, create_app
from hutong.clock import SystemClock
from hutong.ids import Ids

JSON = dict[str, Any]
PROBLEM = "application/problem+json"


def documents() -> dict[str, JSON]:
    """Return the OpenAPI documents of this version, by audience: `merchant` and `operator`."""

    @asynccontextmanager
    async def no_services() -> AsyncIterator[Services]:
        raise AssertionError("the description needs no services")
        yield

    app = create_app(no_services, identifiers=Ids(SystemClock()))
    return {audience: description.document for audience, description in app.state.descriptions.items()}


def pages() -> dict[str, str]:
    """Return the generated parts by file name."""
    found = documents()
    return {
        "http.md": page(found["merchant"], "object"),
        "http-operator.md": page(found["operator"], "operator-object"),
        "errors.md": errors_page(),
    }


def page(api: JSON, anchor: str) -> str:
    """Render the operations by tag, then their objects.

    Args:
        anchor: Begins the anchors of objects; those of two pages differ.
    """
    return "\n".join(_lines(api, anchor)) + "\n"


def errors_page() -> str:
    """Render every error code with its meaning, its cause and what to do."""
    lines = []
    for code, entry in sorted(ERROR_CODES.items()):
        lines += [f"## {code}", "", f"{entry.status}. {entry.meaning}", ""]
        lines += [f"**Cause.** {entry.cause}", "", f"**What to do.** {entry.action}", ""]
    return "\n".join(lines)


def _lines(api: JSON, anchor: str) -> Iterator[str]:
    by_tag: dict[str, list[tuple[str, str, JSON]]] = {}
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    yield "## Errors of any operation\n"
    yield "As far as an operation takes a body or writes. What else it answers with stands below it.\n"
    yield from _error_rows(sorted(GENERAL_CODES & api["components"]["examples"].keys()))
    for tag in api["tags"]:
        yield f"## {tag['name']}\n"
        yield tag["description"] + "\n"
        for method, path, operation in by_tag[tag["name"]]:
            yield from _operation(api, anchor, method, path, operation)
    yield "## Objects\n"
    for name, schema in sorted(api["components"]["schemas"].items()):
        yield f"({_anchor(anchor, name)})=\n### {name}\n"
        yield schema.get("description", "") + "\n"
        if "properties" in schema:
            yield from _fields(schema, anchor)
        elif "x-extensible-enum" in schema:
            values = ", ".join(f"`{value}`" for value in schema["x-extensible-enum"])
            yield f"In this version one of {values}.\n"
        else:
            yield f"One of {_type(schema, anchor)}.\n"


def _operation(api: JSON, anchor: str, method: str, path: str, operation: JSON) -> Iterator[str]:
    yield f"### {operation['summary']}\n"
    yield f"```http\n{method} {path} HTTP/1.1\n```\n"
    key = {"ApiKey": "an API key", "OperatorKey": "an operator's key"}
    for required in operation.get("security", []):
        for scheme, scopes in required.items():
            scope = "".join(f" with the scope `{name}`" for name in scopes)
            yield f"Requires {key[scheme]}{scope}. In clients: `{operation['operationId']}`.\n"
    yield operation.get("description", "") + "\n"
    if operation.get("parameters"):
        yield "| parameter | in | type | |\n|---|---|---|---|"
        for parameter in operation["parameters"]:
            required = "Required. " if parameter.get("required") else ""
            description = required + parameter.get("description", "")
            yield _row(f"`{parameter['name']}`", parameter["in"], _type(parameter["schema"], anchor), description)
        yield ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        schema = api["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
        yield f"Body: {_type(body['schema'], anchor)}\n"
        yield f"```json\n{json.dumps(schema['examples'][0], indent=2, ensure_ascii=False)}\n```\n"
    yield "| answer | | body |\n|---|---|---|"
    codes: set[str] = set()
    for status, answer in sorted(operation["responses"].items()):
        contents = answer.get("content", {})
        if PROBLEM in contents:
            codes |= contents[PROBLEM]["examples"].keys()
        else:
            types = [_type(content["schema"], anchor) for content in contents.values() if "schema" in content]
            yield _row(status, answer["description"], ", ".join(types))
    yield ""
    yield from _error_rows(sorted(codes - GENERAL_CODES))


def _error_rows(codes: Sequence[str]) -> Iterator[str]:
    if codes:
        yield "| error | status | |\n|---|---|---|"
        yield from (_row(f"[`{c}`](errors.md#{c})", str(ERROR_CODES[c].status), ERROR_CODES[c].meaning) for c in codes)
        yield ""


def _fields(schema: JSON, anchor: str) -> Iterator[str]:
    yield "| field | type | |\n|---|---|---|"
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        notes = [field.get("description", "")]
        if name not in required and "default" in field and field["default"] not in (None, [], {}):
            notes.append(f"Default: `{json.dumps(field['default'])}`.")
        optional = "" if name in required else " (optional)"
        yield _row(f"`{name}`{optional}", _type(field, anchor), " ".join(note for note in notes if note))
    yield ""


def _type(schema: JSON, anchor: str) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(anchor, name)})"
    if "anyOf" in schema:
        return " or ".join(_type(option, anchor) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'], anchor)}"
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


def _anchor(kind: str, name: str) -> str:
    return f"{kind}-{name.lower()}"
