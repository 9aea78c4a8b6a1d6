"""Bad input: a 4xx problem document that names the field, nothing written, nothing secret logged."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import pytest

from support.json_corpus import AMOUNTS, TEXTS, raw_order
from support.running_platform import METHOD, Answer, PlatformApi, Shop

FIELDS = {"type", "title", "status", "detail", "code", "param", "request_id"}
MORE = {"method_unknown": {"methods"}, "attempt_in_progress": {"running"}}

UNREADABLE = re.compile(
    r"^[A-Z]|^(its|it|is|are|was|has|must|may|cannot)\b|\bshould\b|Value error|\^\[|\^\(|\\x|^[\w.]+: |\.$"
)
"""What no detail is: without a subject, a pattern, or a phrase of the library that validates."""


def check_problem(answer: Answer) -> Any:
    """It is a problem document as RFC 9457 has it, with our fields, and repeats the request's id."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    problem = answer.json
    assert set(problem) == FIELDS | MORE.get(problem["code"], set())
    assert problem["status"] == answer.status
    assert problem["type"] == f"urn:hutong:error:{problem['code']}"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert not UNREADABLE.search(problem["detail"]), problem["detail"]
    return problem


def test_the_corpora_are_large_enough() -> None:
    assert len(set(AMOUNTS)) >= 150
    assert len(set(TEXTS)) >= 200


async def test_no_bad_amount_is_taken_and_nothing_is_written(platform_api: PlatformApi, shop: Shop) -> None:
    before = await platform_api.fingerprint()

    async def send(amount: str) -> None:
        answer = await platform_api.call("POST", "/v1/payments", shop=shop, body=raw_order(platform_api, amount=amount))
        problem = check_problem(answer)
        assert answer.status in (400, 422), (amount[:60], answer.status)
        assert problem["param"] == ("amount_minor" if answer.status == 422 else "body"), amount[:60]

    await asyncio.gather(*(send(amount) for amount in AMOUNTS))
    assert await platform_api.fingerprint() == before


@pytest.mark.parametrize("amount", [1, 2, 999_999_999_999_999])
async def test_the_smallest_and_the_largest_amount_are_taken(
    platform_api: PlatformApi, shop: Shop, amount: int
) -> None:
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order(amount_minor=amount))
    assert (answer.status, answer.json["amount_minor"]) == (201, amount)


TEXT_FIELDS = ["subject", "merchant_order_no", "metadata key", "metadata value", "return_url", "method", "currency"]


@pytest.mark.parametrize("field", TEXT_FIELDS)
async def test_any_text_is_stored_as_it_is_or_refused(platform_api: PlatformApi, shop: Shop, field: str) -> None:
    async def send(text: str) -> None:
        order = raw_order(platform_api, text=text, field=field)
        answer = await platform_api.call("POST", "/v1/payments", shop=shop, body=order)
        name = field.split(maxsplit=1)[0]
        if answer.status in (200, 201):
            kept = await platform_api.get(shop, answer.json["id"])
            assert name == "method" or kept[name] == orjson.loads(order)[name], text[:60]
        else:
            assert answer.status in (400, 413, 422), (text[:60], answer.status)
            assert check_problem(answer)["param"].split(".")[0] in (name, "body"), text[:60]

    await asyncio.gather(*(send(text) for text in TEXTS))


UNKNOWN_CURRENCIES = ["XXX", "XAU", "AAA", "cny", "CN", "CNYY", "", "156", "C\u041dY", "BTC", None, 156, ["CNY"]]


@pytest.mark.parametrize("currency", UNKNOWN_CURRENCIES, ids=str)
async def test_an_unknown_currency_is_refused(platform_api: PlatformApi, shop: Shop, currency: Any) -> None:
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order(currency=currency))
    assert (answer.status, check_problem(answer)["param"]) == (422, "currency")


INSTANTS = [
    "", "now", "2026-01-01", "2026-01-01T00:00:00", "20990101T000000Z", "2099-W01-1T00:00:00Z", "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2099-13-01T00:00:00Z", "2099-02-30T00:00:00Z",
    "2099-01-01T24:00:00Z", "2099-01-01T00:00:60Z", "2099-01-01T00:00:00+25:00", "2099-01-01 00:00:00Z", "1e9",
    "2000-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "\u0662\u0660\u0669\u0669-01-01T00:00:00Z", 4_102_444_800, -1, True,
    [], {},
]  # fmt: skip


@pytest.mark.parametrize("instant", INSTANTS, ids=str)
async def test_an_end_that_is_no_instant_or_out_of_range_is_refused(
    platform_api: PlatformApi, shop: Shop, instant: Any
) -> None:
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, json=platform_api.order(expires_at=instant))
    assert (answer.status, check_problem(answer)["param"]) == (422, "expires_at")


ORDER = b'"merchant_order_no":"json-1","currency":"CNY","subject":"x"'
MANY = b",".join(b'"k%d":""' % n for n in range(21))
BODIES = [
    (b"", 422, "body"), (b" ", 400, "body"), (b"null", 422, "body"), (b"[]", 422, "body"), (b'"x"', 422, "body"),
    (b"1", 422, "body"), (b"{", 400, "body"), (b"{}x", 400, "body"), (b"{'a':1}", 400, "body"),
    (b'{"a":1,}', 400, "body"), (b"\xef\xbb\xbf{}", 400, "body"), (b"\xff\xfe{\x00}\x00", 400, "body"),
    (b"\x00", 400, "body"), ("{\"subject\":\"中\"}".encode("gb18030"), 400, "body"), (b'{"a":"\x01"}', 400, "body"),
    (b"[" * 100_000, 400, "body"), (b'{"a":' * 40_000, 400, "body"), (b"[" * 100_000 + b"]" * 100_000, 400, "body"),
    (b'{"metadata":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001, 400, "body"),
    (b"{" + ORDER + b',"amount_minor":1,"amount_minor":1}', 400, "body"),
    (b"{" + ORDER + b',"amount_minor":1,"amount\\u005fminor":2}', 400, "body"),
    (b"{" + ORDER + b',"amount_minor":1,"metadata":{"a":"1","a":"2"}}', 400, "body"),
    (b"{" + ORDER + b',"amount_minor":1,"status":"succeeded"}', 422, "status"),
    (b"{" + ORDER + b',"amount_minor":1,"merchant_id":"mer_x"}', 422, "merchant_id"),
    (b"{" + ORDER + b',"amount_minor":1,"fee_ppm":0}', 422, "fee_ppm"),
    (b"{" + ORDER + b',"amount_minor":1,"\\ud800":0}', 422, "body"),
    (b"{" + ORDER + b',"amount_minor":1,"Currency":"CNY"}', 422, "Currency"),
    (b"{" + ORDER + b"}", 422, "amount_minor"), (b'{"amount_minor":1}', 422, "merchant_order_no"),
    (b"{" + ORDER + b',"amount_minor":1,"metadata":null}', 422, "metadata"),
    (b"{" + ORDER + b',"amount_minor":1,"metadata":[]}', 422, "metadata"),
    (b"{" + ORDER + b',"amount_minor":1,"metadata":{"a":1}}', 422, "metadata.a"),
    (b"{" + ORDER + b',"amount_minor":1,"metadata":{"a":1E400}}', 422, "metadata.a"),
    (b"{" + ORDER + b',"amount_minor":1,"metadata":{"a":{"b":"c"}}}', 422, "metadata.a"),
    (b"{" + ORDER + b',"amount_minor":1,"metadata":{' + MANY + b"}}", 422, "metadata"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "param"), BODIES, ids=[repr(body[:50]) for body, _, _ in BODIES])
async def test_a_body_that_is_not_understood_is_refused(
    platform_api: PlatformApi, shop: Shop, body: bytes, status: int, param: str
) -> None:
    answer = await platform_api.call("POST", "/v1/payments", shop=shop, body=body)
    assert (answer.status, check_problem(answer)["param"]) == (status, param), answer.body


@pytest.mark.parametrize("path", ["/v1/payments", "/v1/webhook-endpoints", "NOTIFY"])
async def test_ten_megabytes_are_refused(platform_api: PlatformApi, shop: Shop, path: str) -> None:
    before = await platform_api.fingerprint()
    for body in (b" " * 10_000_000, b'{"subject":"' + b"x" * 10_000_000 + b'"}'):
        answer = await platform_api.call(
            "POST", _notify(platform_api) if path == "NOTIFY" else path, shop=shop, body=body
        )
        if path == "NOTIFY":  # in the channel's own form, without a reason
            assert (answer.status, answer.json) == (401, {"code": "FAIL", "message": "refused"})
            continue
        problem = check_problem(answer)
        assert (answer.status, problem["code"], problem["param"]) == (413, "body_too_large", "body")
    assert await platform_api.fingerprint() == before


MEDIA_TYPES = [
    "", "text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "application/jsonx", "application/json; charset=gbk", "application/json; charset=utf-16",
    "application/json, text/x",
    "application/problem+json", "json", "application /json",
]  # fmt: skip


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
@pytest.mark.parametrize("path", ["/v1/payments", "/v1/webhook-endpoints"])
async def test_another_media_type_is_refused(platform_api: PlatformApi, shop: Shop, path: str, media_type: str) -> None:
    answer = await platform_api.call(
        "POST", path, shop=shop, json=platform_api.order(), headers={"Content-Type": media_type}
    )
    problem = check_problem(answer)
    assert (answer.status, problem["code"], problem["param"]) == (415, "unsupported_media_type", "Content-Type")


JSON_TYPES = ["application/json", "application/json; charset=utf-8", 'APPLICATION/JSON;Charset="UTF-8"']


@pytest.mark.parametrize("media_type", JSON_TYPES)
async def test_json_is_taken_however_it_is_spelled(platform_api: PlatformApi, shop: Shop, media_type: str) -> None:
    answer = await platform_api.call(
        "POST", "/v1/payments", shop=shop, json=platform_api.order(), headers={"Content-Type": media_type}
    )
    assert answer.status == 201


KEYS = ["", " ", "a b", "\u00e9", "k" * 256, "a\tb"]


@pytest.mark.parametrize("key", KEYS)
async def test_an_idempotency_key_out_of_bounds_is_refused(platform_api: PlatformApi, shop: Shop, key: str) -> None:
    answer = await platform_api.call(
        "POST", "/v1/payments", shop=shop, json=platform_api.order(), headers={"Idempotency-Key": key}
    )
    assert (answer.status, check_problem(answer)["param"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Content-Type"])
async def test_a_header_that_must_be_unique_is_refused_twice(platform_api: PlatformApi, shop: Shop, name: str) -> None:
    once = {
        "Authorization": f"Bearer {shop.key}", "Idempotency-Key": "doubled", "Content-Type": "application/json"
    }  # fmt: skip
    answer = await platform_api.call(
        "POST", "/v1/payments", json=platform_api.order(), headers=[*once.items(), (name, once[name])]
    )
    problem = check_problem(answer)
    assert (answer.status, problem["param"]) == (400, name)


AUTHORIZATIONS = [
    None, "", "Bearer", "Bearer ", "Bearer sk_wrong", "Basic c2s6eA==", "bearer", "Token {key}", "Bearer {key}x",
    "Bearer \u00ff", "Bearer " + "x" * 8_000, "{key}", "Bearer {key} {key}", "Bearer sk_01h455vb4pex5vsknk084sn02q_x",
]  # fmt: skip


@pytest.mark.parametrize("value", AUTHORIZATIONS, ids=lambda value: str(value)[:30])
async def test_without_a_valid_key_nothing_is_answered(
    platform_api: PlatformApi, shop: Shop, value: str | None
) -> None:
    headers = {} if value is None else {"Authorization": value.replace("{key}", shop.key)}
    for method, path in (("GET", "/v1/payments"), ("POST", "/v1/payments"), ("GET", "/v1/payments/pay_x")):
        answer = await platform_api.call(
            method, path, headers=headers, json=platform_api.order() if method == "POST" else None
        )
        problem = check_problem(answer)
        assert (answer.status, problem["code"], problem["param"]) == (401, "unauthorized", "Authorization")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_nothing_secret_is_logged(
    platform_api: PlatformApi, shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "hunter2-secret"
    await platform_api.call("POST", "/v1/payments", shop=shop, json={"subject": secret, "\x00": secret})
    await platform_api.call("POST", "/v1/payments", shop=shop, body=secret.encode())
    await platform_api.call("GET", "/v1/payments", headers={"Authorization": f"Bearer sk_{secret}"})
    await platform_api.call(
        "POST", _notify(platform_api), body=secret.encode(), headers={"Wechatpay-Signature": secret}
    )
    payment = await platform_api.create(shop)
    await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)
    token = payment["checkout_url"].partition("token=")[2]
    out, err = capfd.readouterr()
    for hidden in (secret, shop.key, token, platform_api.keys.api_v3_key):
        assert hidden not in out + err


async def test_an_error_nobody_expected_is_a_problem_that_tells_nothing(
    platform_api: PlatformApi, shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("inner detail")

    monkeypatch.setattr(type(platform_api.lifecycle), "close", broken)
    payment = await platform_api.create(shop, method=METHOD)
    answer = await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)
    problem = check_problem(answer)
    assert (answer.status, problem["code"]) == (500, "internal_error")
    assert b"inner detail" not in answer.body
    assert shop.key not in "".join(capfd.readouterr())


def _notify(platform_api: PlatformApi) -> str:
    from hutong.ids import encode

    return f"/channels/{encode('acc', platform_api.account_id)}/notifications"
