"""The export of payment records as rows that add up: payments, refunds, disputes, fees, net amounts."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import pytest
from test_bills_api import followed, paid

from hutong.operators import Role
from hutong.search.statement import HEADING_ZH, StatementRow
from support.running_platform import PlatformApi, Shop

BASKET = {
    "amount_minor": 14_500,
    "items": [
        {"id": "gone", "name": "Out of stock", "quantity": 2, "amount_minor": 4_700},
        {"id": "rest", "name": "The rest", "amount_minor": 11_300},
    ],
    "discounts": [
        {"name": "10 off", "funder": "platform", "amount_minor": 1_000},
        {"name": "5 off", "funder": "channel", "amount_minor": 500},
    ],
}


async def exported(platform_api: PlatformApi, shop: Shop, asked: str = "") -> bytes:
    await followed(platform_api)
    answer = await platform_api.call("GET", f"/v1/bills/export{asked}", shop=shop)
    assert answer.status == 200, answer.body
    return answer.body


def rows(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode())))


async def refunded(platform_api: PlatformApi, shop: Shop, payment: Any, **body: Any) -> None:
    path = f"/v1/payments/{payment['id']}/refunds"
    made = await platform_api.call("POST", path, shop=shop, json=body)
    assert made.status == 201, made.body
    for _ in range(500):
        if (await platform_api.call("GET", f"/v1/refunds/{made.json['id']}", shop=shop)).json["state"] == "succeeded":
            return
        await platform_api.lifecycle.refunds.sweep()
        await asyncio.sleep(0.02)
    raise AssertionError("the refund does not succeed")


async def disputed(platform_api: PlatformApi, payment: Any) -> None:
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)
    body = {"amount_minor": 700, "amount_taken_minor": 700, "fee_minor": 15, "reason": "letter"}
    made = await platform_api.call("POST", f"/v1/operator/payments/{payment['id']}/disputes", headers=maker, json=body)
    approve = f"/v1/operator/proposals/{made.json['id']}/approve"
    assert (await platform_api.call("POST", approve, headers=checker, json={"reason": "seen"})).status == 200


async def test_the_rows_of_a_played_day_add_up_to_the_change_of_the_balance(platform_api: PlatformApi) -> None:
    shop = await platform_api.shop(fee_ppm=6_000)
    plain = await paid(platform_api, shop, amount_minor=12_345, subject="plain")
    basket = await paid(platform_api, shop, **BASKET)
    gone = await platform_api.create(shop)
    await platform_api.call("POST", f"/v1/payments/{gone['id']}/close", shop=shop)
    await refunded(platform_api, shop, plain, merchant_refund_no="r-1", amount_minor=1_001)
    await refunded(platform_api, shop, plain, merchant_refund_no="=r-2", amount_minor=333)
    await refunded(platform_api, shop, basket, merchant_refund_no="r-3", items=[{"id": "gone", "quantity": 2}])
    await disputed(platform_api, plain)
    found = rows(await exported(platform_api, shop))
    assert [row["type"] for row in found] == ["payment", "payment", "refund", "payment", "refund", "refund", "dispute"]
    (balance,) = (await platform_api.call("GET", "/v1/balance", shop=shop)).json["data"]
    pending = balance["pending"]
    assert pending["outgoing_minor"] == pending["incoming_minor"] == 0
    assert sum(int(row["net_minor"]) for row in found) == pending["balance_minor"]
    for row in found:
        assert row["net"] == f"{int(row['net_minor']) / 100:.2f}"
        assert row["fee"] == f"{int(row['fee_minor']) / 100:.2f}"
    by_type = {row["type"]: row for row in found}
    assert (by_type["dispute"]["net_minor"], by_type["dispute"]["payment_id"]) == ("-715", plain["id"])
    newest, _, last = found[0], found[1], found[3]
    assert (newest["status"], newest["net_minor"], newest["fee_minor"]) == ("closed", "0", "0")
    assert (last["id"], last["amount"], last["fee_minor"], last["net_minor"]) == (plain["id"], "123.45", "74", "12271")
    first_refund, second_refund = found[4], found[5]
    assert (first_refund["amount"], first_refund["merchant_refund_no"]) == ("-10.01", "r-1")
    assert second_refund["merchant_refund_no"] == "'=r-2"  # a formula is text, an amount stays a number
    for name in ("created_at", "succeeded_at"):
        assert all(len(row[name]) == len("2026-01-01T00:00:00.000Z") and row[name].endswith("Z") for row in found[3:6])


async def test_headings_are_in_chinese_and_the_file_begins_with_a_byte_order_mark_on_request(
    platform_api: PlatformApi, shop: Shop
) -> None:
    await paid(platform_api, shop, subject="糖醋排骨")
    plain = await exported(platform_api, shop)
    assert plain.startswith(b"type,id,payment_id,")
    chinese = await exported(platform_api, shop, "?lang=zh&bom=true")
    assert chinese.startswith(b"\xef\xbb\xbf" + "类型,编号,支付单号,".encode())
    head, _, rest = chinese.partition(b"\r\n")
    assert rest == plain.partition(b"\r\n")[2]
    assert len(head.decode().split(",")) == len(StatementRow.__dataclass_fields__)
    assert list(HEADING_ZH) == list(StatementRow.__dataclass_fields__)
    assert len(set(HEADING_ZH.values())) == len(HEADING_ZH)
    empty = await exported(platform_api, shop, "?status=closed&lang=zh&bom=true")
    assert empty == head + b"\r\n"


@pytest.mark.parametrize(("asked", "param"), [("lang=fr", "lang"), ("bom=perhaps", "bom"), ("lang=", "lang")])
async def test_another_language_or_mark_is_refused(
    platform_api: PlatformApi, shop: Shop, asked: str, param: str
) -> None:
    answer = await platform_api.call("GET", f"/v1/bills/export?{asked}", shop=shop)
    assert (answer.status, answer.json["param"]) == (422, param)


async def test_instants_of_lists_have_milliseconds_and_z(platform_api: PlatformApi, shop: Shop) -> None:
    await paid(platform_api, shop)
    await followed(platform_api)
    page = (await platform_api.call("GET", "/v1/bills", shop=shop)).json
    event = (await platform_api.call("GET", "/v1/events", shop=shop)).json["data"][0]
    for text in (page["as_of"], page["data"][0]["created_at"], event["created_at"]):
        assert len(text) == len("2026-01-01T00:00:00.000Z")
        assert text.endswith("Z")
