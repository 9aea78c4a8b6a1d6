"""The OpenAPI document says what the API does: read as a document, and tried by schemathesis."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from test_bad_input import check_problem

from hutong import operators
from hutong.db import time_limit
from support import SEED
from support.edge_values import ALL
from support.running_platform import PlatformApi, Shop


@pytest.fixture
def document(platform_api: PlatformApi) -> Any:
    return platform_api.described.whole


async def test_both_documents_are_served_as_they_are_made(platform_api: PlatformApi) -> None:
    described = platform_api.described
    for path, made in (("/openapi.json", described.merchant), ("/openapi-operator.json", described.operator)):
        answer = await platform_api.call("GET", path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json == made


async def test_the_document_is_openapi_3_1_with_examples(document: Any) -> None:
    assert document["openapi"].startswith("3.1.")
    posts = [path["post"] for path in document["paths"].values() if "requestBody" in path.get("post", {})]
    assert posts
    contents = [operation["requestBody"]["content"] for operation in posts]
    binary = [set(content) for content in contents if "application/json" not in content]
    assert binary == [{"application/octet-stream"}] * 2
    for content in contents:
        assert "application/json" not in content or content["application/json"]["examples"]
    for operation in _operations(document):
        assert operation["summary"]
        assert operation["tags"]


async def test_every_reference_in_the_document_leads_somewhere(document: Any) -> None:
    for reference in _references(document):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in found, reference
            found = found[part]


async def test_every_error_in_the_document_is_a_problem(document: Any) -> None:
    for operation in _operations(document):
        for status, response in operation["responses"].items():
            if operation["tags"] == ["Channel notifications"] and status in ("400", "401"):
                assert "content" not in response, "a refused notification is answered in the channel's own form"
            elif status >= "4":
                assert list(response["content"]) == ["application/problem+json"], (operation["summary"], status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_the_states_of_payments_are_named_in_the_list_filter(document: Any) -> None:
    parameters = {p["name"]: p for p in document["paths"]["/v1/payments"]["get"]["parameters"]}
    assert document["components"]["schemas"]["PaymentStatus"]["enum"] == [
        "requires_payment", "processing", "requires_capture", "succeeded", "closed"
    ]  # fmt: skip
    assert {"$ref": "#/components/schemas/PaymentStatus"} in parameters["status"]["schema"]["anyOf"]
    assert set(parameters) == {
        "limit", "cursor", "status", "merchant_order_no", "from", "to", "metadata", "expand"
    }  # fmt: skip
    assert all(p.get("description") for p in parameters.values())


METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]


@pytest.mark.parametrize("method", METHODS)
async def test_a_method_that_a_path_does_not_have_is_405_with_those_it_has(
    platform_api: PlatformApi, shop: Shop, document: Any, method: str
) -> None:
    for path, operations in document["paths"].items():
        has = {name.upper() for name in operations}
        if method in has:
            continue
        answer = await platform_api.call(method, path, shop=shop)
        assert answer.status == 405, path
        assert answer.headers["allow"] == ", ".join(sorted(has))
        if method != "HEAD":
            assert check_problem(answer)["code"] == "method_not_allowed"


ABSENT = ["/v1", "/v1/", "/v1/payments/", "/v2/payments", "/v1//payments", "/V1/payments", "/%00", "/%FF"]
ABSENT += ["/healthz/", "/v1/payments/x/", "/v1/payments/x/close/", "/v1/payments/x/open", "/" + "a" * 4_000]


@pytest.mark.parametrize("path", ABSENT, ids=lambda path: path[:40])
async def test_a_path_that_does_not_exist_is_a_problem_and_no_redirect(platform_api: PlatformApi, path: str) -> None:
    answer = await platform_api.call("GET", path, headers={"Host": "evil.example"})
    assert (answer.status, check_problem(answer)["code"]) == (404, "not_found")
    assert "location" not in answer.headers


async def test_health_and_figures(platform_api: PlatformApi, shop: Shop) -> None:
    await platform_api.create(shop)
    assert (await platform_api.call("GET", "/healthz")).json == {"status": "ok"}
    ready = (await platform_api.call("GET", "/readyz")).json
    assert UUID(ready.pop("installation"))
    assert ready == {"status": "ready", "mode": "normal"}
    figures = await platform_api.call("GET", "/metrics")
    assert figures.headers["content-type"].startswith("text/plain")
    text = figures.body.decode()
    for name in (
        'hutong_http_request_seconds_count{method="POST",route="/v1/payments",status="201"}',
        'hutong_batch_size_count{queue="place"}',
        'hutong_channel_answers_total{channel="wechat",source="submission",state="pending"}',
        "hutong_notification_mismatches_total",
        "hutong_exceptions_open",
        "hutong_exceptions_total",
    ):
        assert name in text
    assert str(shop.merchant_id) not in text


async def test_not_ready_while_the_pool_of_the_requests_is_stuck_though_new_connections_work(
    platform_api: PlatformApi,
) -> None:
    released = asyncio.Event()

    async def hold() -> None:
        async with platform_api.platform.database.transaction():
            await released.wait()

    pool = platform_api.platform.database.pool
    with time_limit(60):
        held = [asyncio.create_task(hold()) for _ in range(pool.get_max_size())]
    while pool.get_idle_size() or pool.get_size() < pool.get_max_size():  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)
    try:
        async with platform_api.admin.transaction() as tx:
            assert await tx.fetchval("SELECT 1") == 1
        answer = await asyncio.wait_for(platform_api.call("GET", "/readyz"), 5)
        assert (answer.status, check_problem(answer)["code"]) == (503, "unavailable")
    finally:
        released.set()
        await asyncio.gather(*held)
    assert (await platform_api.call("GET", "/readyz")).status == 200


async def test_not_ready_while_the_database_does_not_answer(
    platform_api: PlatformApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncpg

    def away(_: object) -> Any:
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(type(platform_api.database), "transaction", away)
    answer = await platform_api.call("GET", "/readyz")
    assert (answer.status, check_problem(answer)["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await platform_api.call("GET", "/healthz")).status == 200


@pytest.mark.parametrize("given", ["abc-123_X", "a" * 64])
async def test_the_callers_request_id_is_repeated(platform_api: PlatformApi, given: str) -> None:
    answer = await platform_api.call("GET", "/v1/payments", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == check_problem(answer)["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "a\u00e9", "<x>", "a;b", "../x"])
async def test_a_request_id_that_is_not_sound_is_replaced(platform_api: PlatformApi, given: str) -> None:
    answer = await platform_api.call("GET", "/healthz", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"].startswith("req_")


async def test_a_body_shorter_than_it_says_has_no_effect(platform_api: PlatformApi, shop: Shop) -> None:
    before = await platform_api.fingerprint()
    body = b'{"merchant_order_no":"short-1","amount_minor":1,"currency":"CNY","subject":"x"}'
    for length in (len(body) + 1, 10_000_000):
        await _raw(platform_api, shop, f"Content-Length: {length}", body)
    for lines in ("Content-Length: -1", "Content-Length: x", "Transfer-Encoding: chunked\r\nContent-Length: 5"):
        answer = await _raw(platform_api, shop, lines, body)
        assert not answer.startswith(b"HTTP/1.1 2"), lines
    assert await platform_api.fingerprint() == before


async def _raw(platform_api: PlatformApi, shop: Shop, lines: str, body: bytes) -> bytes:
    host, port = platform_api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shop.key}\r\n"
    head += f"Content-Type: application/json\r\nConnection: close\r\n{lines}\r\n\r\n"
    writer.write(head.encode() + body)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


_EXAMPLES = {"merchants": 6, "operators": 3}
_CHECKS = """
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""
"""Its own, and 413: what the schema forbids may be too large to be read at all."""


@pytest.mark.timeout(0 if ALL else 900)
@pytest.mark.parametrize("whose", ["merchants", "operators"])
async def test_schemathesis_finds_nothing_off_the_document(
    platform_api: PlatformApi, tmp_path: Path, whose: str
) -> None:
    """Valid and invalid data, with a valid key: no 5xx, no undocumented status, no answer off schema.

    `make edges` runs all phases. Here the values at the edges of each parameter are those of test_api_edge_values.

    One check is left out: that all data which the schema allows is taken. An end in the past, an origin that is not
    registered or a key that stands for another request is refused by rules that no schema can state.
    """
    _, admin = await platform_api.person(operators.Role.ADMIN)
    key = {"merchants": f"Bearer {(await platform_api.shop()).key}", "operators": admin["Authorization"]}[whose]
    (tmp_path / "schemathesis.toml").write_text(_CHECKS)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{platform_api.url}/{'openapi' if whose == 'merchants' else 'openapi-operator'}.json",
        f"--header=Authorization: {key}",
        "--mode=all",
        "--exclude-checks=positive_data_acceptance",
        *([] if ALL else ["--phases=examples,fuzzing"]),
        f"--max-examples={_EXAMPLES[whose] * (5 if ALL else 1)}",
        f"--seed={SEED}",
        "--workers=1",  # two threads that take source code apart may fail in CPython 3.11
        "--generation-database=none",
        "--suppress-health-check=all",
        "--no-color",
    ]
    process = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=None if ALL else 280, check=False
    )
    assert process.returncode == 0, process.stdout[:8_000] + process.stdout[-4_000:] + process.stderr[-2_000:]


def _operations(document: Any) -> list[Any]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
