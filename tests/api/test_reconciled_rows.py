"""A merchant's reconciled rows over HTTP: its own alone, page by page, with what they come to; and the report."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

import hutong
from hutong import ids, operators
from hutong.reconciliation import matching
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits, match_layers
from hutong.reconciliation.expected import export_sides
from hutong.reconciliation.layers import LAYERS, SideSource
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.model import DayWindow, Layer
from hutong.reconciliation.reports import write_differing_rows
from support.running_platform import PlatformApi, Shop

BILLS = (Layer.PAYMENT_BILL, Layer.REFUND_BILL)


async def paid(platform_api: PlatformApi, shop: Shop) -> Any:
    payment = await platform_api.create(shop)
    await platform_api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    return await platform_api.until(shop, payment["id"], "succeeded")


async def reconciled(platform_api: PlatformApi, left_out: str) -> date:
    """Run today as if the channel's bill had everything but one payment, in one batch."""
    account_id, window = platform_api.account_id, DayWindow(timedelta(0))
    now = platform_api.clock.now()
    day = window.day_of(now)
    root = platform_api.platform.reconciliation.config.folder
    folder = RunFolder(root, ids.encode("acc", account_id), day)
    await export_sides(platform_api.database, folder, account_id, window, day, window.complete_at(day), again=True)
    with duckdb.connect() as duck:
        duck.execute(
            f"COPY (SELECT * REPLACE ('b-1' AS batch, 7 AS fee, 0 AS file) FROM "
            f"read_parquet('{folder.rows(SideSource.JOURNAL)}') WHERE reference <> '{left_out}') "
            f"TO '{folder.rows(SideSource.BILL)}' (FORMAT parquet)"
        )
    layers = tuple(LAYERS[layer] for layer in BILLS)
    plan = Manifest(folder.account, "wechat", day, window, layers, (), "one_sql", hutong.__version__)
    match_layers(folder, plan, matching.engine("one_sql"), Limits(256)).write(folder.manifest)
    write_differing_rows(folder)
    return day


@pytest.fixture(scope="module")
async def world(platform_api: PlatformApi) -> dict[str, Any]:
    shop, other = await platform_api.shop(), await platform_api.shop()
    payments = [await paid(platform_api, shop) for _ in range(3)]
    refund = {"merchant_refund_no": f"r-{payments[0]['id']}", "amount_minor": 500}
    answer = await platform_api.call("POST", f"/v1/payments/{payments[0]['id']}/refunds", shop=shop, json=refund)
    for _ in range(100):
        if (await platform_api.get(shop, payments[0]["id"]))["amount_refunded_minor"] == 500:
            break
        platform_api.clock.advance(timedelta(seconds=30))
        await platform_api.lifecycle.refunds.sweep()
    theirs = await paid(platform_api, other)
    day = await reconciled(platform_api, left_out=payments[2]["id"])
    return {"shop": shop, "other": other, "payments": payments, "refund": answer.json, "theirs": theirs, "day": day}


async def rows(platform_api: PlatformApi, shop: Shop, day: date, asked: str = "") -> Any:
    answer = await platform_api.call("GET", f"/v1/reconciliation/rows?day={day}{asked}", shop=shop)
    assert answer.status == 200, answer.body
    return answer.json


async def test_each_row_has_what_settled_our_fee_and_what_is_left(
    platform_api: PlatformApi, world: dict[str, Any]
) -> None:
    found = (await rows(platform_api, world["shop"], world["day"]))["data"]
    first, _, waiting = world["payments"]
    by_type = {(row["type"], row["payment_id"]): row for row in found}
    assert len(found) == 4
    amount = first["amount_minor"]
    row = by_type["payment", first["id"]]
    assert (row["amount_ordered_minor"], row["amount_settled_minor"]) == (amount, amount)
    assert row["net_minor"] == amount - row["fee_minor"]
    assert (row["channel_batch"], row["status"], row["day"]) == ("b-1", "reconciled", world["day"].isoformat())
    back = by_type["refund", first["id"]]
    assert (back["refund_id"], back["amount_ordered_minor"]) == (world["refund"]["id"], -500)
    assert back["net_minor"] == -500 - back["fee_minor"]
    assert by_type["payment", waiting["id"]]["status"] == "pending"


async def test_pages_have_every_row_once_and_nobody_elses(platform_api: PlatformApi, world: dict[str, Any]) -> None:
    found: list[Any] = []
    asked = "&limit=3"
    while True:
        page = await rows(platform_api, world["shop"], world["day"], asked)
        found += page["data"]
        if page["next_cursor"] is None:
            break
        asked = f"&limit=3&cursor={page['next_cursor']}"
    assert found == (await rows(platform_api, world["shop"], world["day"]))["data"]
    (theirs,) = (await rows(platform_api, world["other"], world["day"]))["data"]
    assert theirs["payment_id"] == world["theirs"]["id"]
    assert (await rows(platform_api, world["shop"], world["day"] - timedelta(days=1)))["data"] == []
    stranger = await platform_api.shop()
    assert (await rows(platform_api, stranger, world["day"]))["data"] == []


async def test_the_export_has_the_same_rows(platform_api: PlatformApi, world: dict[str, Any]) -> None:
    answer = await platform_api.call("GET", f"/v1/reconciliation/rows/export?day={world['day']}", shop=world["shop"])
    assert answer.status == 200
    exported = list(csv.DictReader(io.StringIO(answer.body.decode())))
    found = (await rows(platform_api, world["shop"], world["day"]))["data"]
    assert [row["net_minor"] for row in exported] == [str(row["net_minor"]) for row in found]
    empty = await platform_api.call("GET", "/v1/reconciliation/rows/export?day=2020-01-01", shop=world["shop"])
    assert empty.body.decode().splitlines() == [",".join(exported[0])]


async def test_operators_see_the_report_of_a_day(platform_api: PlatformApi, world: dict[str, Any]) -> None:
    _, headers = await platform_api.person(operators.Role.VIEWER)
    account = ids.encode("acc", platform_api.account_id)
    path = f"/v1/operator/reconciliation/reports?account={account}&day={world['day']}"
    answer = await platform_api.call("GET", path, headers=headers)
    assert answer.status == 200, answer.body
    own = next(
        part for part in answer.json["merchants"] if part["merchant_id"] == ids.encode("mer", world["shop"].merchant_id)
    )
    assert {(line["kind"], line["count"]) for line in own["matched"]} == {("payment", 2), ("refund", 1)}
    assert [(line["class"], line["count"]) for line in own["differences"]] == [("pending", 1)]
    assert own["explained"][0]["explained_percent"] == "100.000000000000"
    missing = await platform_api.call(
        "GET", f"/v1/operator/reconciliation/reports?account={account}&day=2020-01-01", headers=headers
    )
    assert missing.status == 404
