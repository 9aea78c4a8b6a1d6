"""The details of refusals: a sentence that names the field, for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from test_bad_input import check_problem

from hutong.field_errors import UNKNOWN_FORM, form_of
from support.running_platform import PlatformApi, Shop

TYPICAL = [
    ({"amount_minor": 0}, "`amount_minor` must be at least 1"),
    ({"amount_minor": 10**15}, "`amount_minor` must be at most 999999999999999"),
    ({"amount_minor": "1"}, "`amount_minor` must be a whole number"),
    ({"amount_minor": 1.5}, "`amount_minor` must be a whole number"),
    ({"amount_minor": None}, "`amount_minor` must be a whole number"),
    ({"currency": "cny"}, "`currency` must be three capital letters, such as CNY"),
    ({"currency": "XXQ"}, "currency is not an ISO 4217 code with minor units"),
    ({"merchant_order_no": "一"}, "`merchant_order_no` must be 1 to 64 visible ASCII characters without blanks"),
    ({"subject": ""}, "`subject` must not be empty"),
    ({"subject": "x" * 128}, "`subject` must have at most 127 characters"),
    ({"subject": " "}, "`subject` is blank"),
    ({"subject": "a\u0000"}, "`subject` contains a control character or half of a surrogate pair"),
    ({"subject": 5}, "`subject` must be a text"),
    ({"capture_method": "later"}, "`capture_method` must be automatic or manual"),
    ({"colour": "red"}, "`colour` is not a field of this request"),
    ({"items": {}}, "`items` must be a list"),
    ({"items": [{"id": "a", "amount_minor": 1}]}, "`items.0.name` is required"),
    ({"metadata": []}, "`metadata` must be an object"),
    ({"metadata": {"": "x"}}, "a name in `metadata` must not be empty"),
    ({"metadata": {str(n): "x" for n in range(21)}}, "`metadata` must have at most 20 entries"),
    ({"expires_at": "tomorrow"}, "`expires_at` is not an RFC 3339 instant such as 2026-01-01T12:00:00Z"),
    (
        {"expires_at": "2099-01-01T00:00:00+25:00"},
        "`expires_at` is not an instant that exists, such as 2026-01-01T12:00:00Z",
    ),
    ({"return_url": "shop"}, "`return_url` must be an address that begins with https:// or http:// and has no blanks"),
    ({"return_url": "https://other.example/"}, "the origin of `return_url` is not registered for this merchant"),
    ({"customer": {}}, "`customer.id` is required"),
]


@pytest.mark.parametrize(("wrong", "detail"), TYPICAL, ids=lambda value: str(value)[:50])
async def test_the_detail_of_a_refused_order_is_a_sentence(
    platform_api: PlatformApi, shop: Shop, wrong: dict[str, Any], detail: str
) -> None:
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order(**wrong))
    assert check_problem(answer)["detail"] == detail


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/payments?limit=0", "`limit` must be at least 1"),
        ("/v1/payments?limit=x", "`limit` is not a whole number in decimal digits"),
        ("/v1/payments?sort=amount", "`sort` is not a parameter of this request"),
        ("/v1/payments?cursor=x", "`cursor` must be an id, such as pay_01h455vb4pex5vsknk084sn02q"),
        (
            "/v1/payments?status=paid",
            "`status` must be requires_payment, processing, requires_capture, succeeded or closed",
        ),
        ("/v1/bills?cursor=%20", "`cursor` must be the `next_cursor` of the previous page"),
        (f"/v1/bills?q={quote(' ')}", "`q` is blank"),
        ("/v1/payments/x", "no object has this id"),
        ("/v1/nothing", "nothing has this address"),
    ],
)
async def test_the_detail_of_a_refused_list_is_a_sentence(
    platform_api: PlatformApi, shop: Shop, path: str, detail: str
) -> None:
    assert check_problem(await platform_api.call("GET", path, shop=shop))["detail"] == detail


async def test_a_body_and_a_key_are_named(platform_api: PlatformApi, shop: Shop) -> None:
    async def detail(body: bytes, headers: dict[str, str] | None = None) -> str:
        answer = await platform_api.call("POST", "/v1/payments", shop=shop, body=body, headers=headers)
        return str(check_problem(answer)["detail"])

    assert await detail(b"") == "the body is required"
    assert await detail(b"{") == "the body is not valid JSON in UTF-8"
    assert await detail(b"[]") == "the body must be an object"
    assert await detail(b"{}") == "`merchant_order_no` is required"
    key = "`Idempotency-Key` must have at most 255 characters"
    assert await detail(b"{}", {"Idempotency-Key": "x" * 256}) == key


def patterns(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        for value in node.values():
            yield from patterns(value)
    elif isinstance(node, list):
        for value in node:
            yield from patterns(value)


def test_every_pattern_is_described_for_people(platform_api: PlatformApi) -> None:
    found = {
        pattern
        for description in platform_api.app.state.descriptions.values()
        for pattern in patterns(description.document)
    }
    assert len(found) > 20
    assert [pattern for pattern in sorted(found) if form_of(pattern) == UNKNOWN_FORM] == []
    assert not [pattern for pattern in sorted(found) if re.search(r"[\^$\[\]{}]", form_of(pattern))]
