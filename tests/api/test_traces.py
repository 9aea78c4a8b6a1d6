"""What is denied, searched by person or exported leaves a trace in the audit journal, bounded under a flood."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from hutong import operators
from hutong.api.requests import BODY_LIMIT
from hutong.api.traces import ADDRESSES_MAX, LISTED_MAX, Traces
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Unavailable
from hutong.ids import encode
from hutong.operators import AuditRecord, Role
from support.running_platform import PlatformApi, Shop

ADDRESS = "127.0.0.1"
KINDS = (
    "denied.key", "denied.link", "denied.notification", "denied.origin", "denied.role", "read.export", "read.person",
)  # fmt: skip


def counted(kind: str) -> float:
    return REGISTRY.get_sample_value("hutong_traced_requests_total", {"kind": kind}) or 0.0


async def flush(api: PlatformApi) -> None:
    """Write what waits, and begin every minute anew."""
    await api.app.state.traces.flush(api.platform.database, at_end=True)


@pytest.fixture
async def begun(platform_api: PlatformApi) -> int:
    """The end of the journal, with nothing that waits for it."""
    await flush(platform_api)
    async with platform_api.database.transaction() as tx:
        return (await operators.list_audit(tx, limit=1))[0].seq


async def traces(api: PlatformApi, since: int) -> list[AuditRecord]:
    await flush(api)
    async with api.database.transaction() as tx:
        records = await operators.list_audit(tx, limit=100)
    return [record for record in reversed(records) if record.seq > since and record.entry.action in KINDS]


async def test_wrong_keys_refused_roles_foreign_pages_and_wrong_links_leave_a_trace(
    platform_api: PlatformApi, shop: Shop, begun: int
) -> None:
    viewer, as_viewer = await platform_api.person(Role.VIEWER)
    gone, as_gone = await platform_api.person(Role.ADMIN)
    payment = await platform_api.create(shop)
    async with platform_api.database.transaction() as tx:
        await operators.disable_operator(tx, gone, reason="left", now=platform_api.clock.now())
    before = {kind: counted(kind) for kind in KINDS}
    secret = secrets.token_urlsafe(32)
    wrong = {"Authorization": f"Bearer {shop.key.rpartition('_')[0]}_{secret}"}
    close = f"/v1/operator/payments/{payment['id']}/close"
    statuses = [
        (await platform_api.call(method, path, headers=headers, json=body)).status
        for method, path, headers, body in (
            ("GET", "/v1/payments/pay_01kas0000000000000000000aa", wrong, None),
            ("GET", "/v1/operator/audit", as_gone, None),
            ("POST", close, as_viewer, {"reason": "x"}),
            ("POST", close, {"Origin": "https://evil.example"}, {"reason": "x"}),
            ("GET", f"/pay/{payment['id']}?token={secret}", {}, None),
            ("GET", f"/pay/{payment['id']}/status", {"X-Checkout-Token": secret}, None),
        )
    ]
    assert statuses == [401, 401, 403, 403, 404, 404]
    records = await traces(platform_api, begun)
    shown = [(r.entry.action, r.entry.actor_id, r.entry.object_kind, r.entry.object_id) for r in records]
    assert shown == [
        ("denied.key", None, "address", ADDRESS),
        ("denied.key", None, "address", ADDRESS),
        ("denied.role", viewer, "address", ADDRESS),
        ("denied.origin", None, "address", ADDRESS),
        ("denied.link", None, "address", ADDRESS),
        ("denied.link", None, "address", ADDRESS),
    ]
    after: list[Any] = [record.entry.after for record in records]
    assert [(each["method"], each["route"]) for each in after[:3]] == [
        ("GET", "/v1/payments/{payment_id}"),
        ("GET", "/v1/operator/audit"),
        ("POST", "/v1/operator/payments/{payment_id}/close"),
    ]
    assert after[0]["key"] == f"key_{shop.key.split('_')[1]}"
    assert after[1]["key"].startswith("opr_")
    assert all(record.entry.request_id for record in records)
    text = str(records)
    for hidden in (secret, shop.key.rpartition("_")[2], as_gone["Authorization"].rpartition("_")[2]):
        assert hidden not in text, "no secret is kept"
    assert {kind: counted(kind) - before[kind] for kind in KINDS} == {
        "denied.key": 2, "denied.link": 2, "denied.notification": 0, "denied.origin": 1, "denied.role": 1,
        "read.export": 0, "read.person": 0,
    }  # fmt: skip


async def test_a_refused_notification_leaves_its_reason_and_is_answered_without_one(
    platform_api: PlatformApi, begun: int
) -> None:
    accounts = {name: encode("acc", account_id) for name, account_id in platform_api.account_ids.items()}
    bodies = {"wechat": b"{}", "alipay": b"sign=x", "unionpay": b"signature=x", "stripe": b"x" * (BODY_LIMIT + 1)}
    before = counted("denied.notification")
    for name, account in accounts.items():
        path = f"/channels/{account}/notifications"
        answer = await platform_api.call("POST", path, body=bodies[name], headers={"Content-Type": "text/plain"})
        own = (await platform_api.accounts.get(platform_api.account_ids[name])).refusal
        assert (name, answer.status, answer.body) == (name, own.status, own.body)
    records = await traces(platform_api, begun)
    assert [(r.entry.action, r.entry.object_kind, r.entry.object_id) for r in records] == [
        ("denied.notification", "channel_account", account) for account in accounts.values()
    ]
    noted = {(r.entry.after or {})["channel"]: (r.entry.after or {})["reason"] for r in records}
    assert noted == dict.fromkeys(accounts, "notification_refused") | {"stripe": "body_too_large"}
    assert {(r.entry.after or {})["address"] for r in records} == {ADDRESS}
    assert counted("denied.notification") - before == 4


async def test_searches_by_person_and_exports_are_in_the_journal_before_their_answer(
    platform_api: PlatformApi, shop: Shop, begun: int
) -> None:
    viewer, as_viewer = await platform_api.person(Role.VIEWER)
    own = {"Authorization": f"Bearer {shop.key}"}
    for path, headers in (
        ("/v1/operator/bills?customer=c-1", as_viewer),
        ("/v1/operator/bills?counterparty=Li&currency=CNY", as_viewer),
        ("/v1/operator/bills?currency=CNY", as_viewer),
        ("/v1/operator/bills/export?from=2026-01-01T00:00:00Z", as_viewer),
        ("/v1/bills?customer=c-1", own),
        ("/v1/bills/export", own),
    ):
        assert (await platform_api.call("GET", path, headers=headers)).status == 200
    async with platform_api.database.transaction() as tx:
        records = [r for r in await operators.list_audit(tx, limit=20) if r.seq > begun and r.entry.action in KINDS]
    shown = [
        (r.entry.action, r.entry.actor_id, r.entry.object_kind, r.entry.object_id, (r.entry.after or {})["conditions"])
        for r in reversed(records)
    ]
    owner = {"merchant_id": shown[-1][3]}
    assert shown == [
        ("read.person", viewer, "customer", "c-1", {"customer_id": "c-1"}),
        ("read.person", viewer, "customer", "Li", {"counterparty": "Li", "currency": "CNY"}),
        ("read.export", viewer, "payment_records", "all", {"begin": "2026-01-01 00:00:00+00:00"}),
        ("read.person", None, "customer", "c-1", {"customer_id": "c-1"} | owner),
        ("read.export", None, "payment_records", owner["merchant_id"], owner),
    ]
    assert owner["merchant_id"].startswith("mer_")


def denied(address: str) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/v1/payments", "headers": [], "client": (address, 1)}


async def test_a_flood_leaves_a_few_entries_a_minute_and_the_number_of_the_rest(
    database: Database, clock: ManualClock
) -> None:
    kept, before, address = Traces(clock), counted("denied.key"), f"192.0.2.{secrets.token_hex(4)}"
    for _ in range(1_000):
        kept.denied(denied(address), 401)
    kept.denied(denied(address), 403)  # another kind has a place of its own
    await kept.flush(database)
    clock.advance(timedelta(seconds=59))
    await kept.flush(database)
    kept.denied(denied(address), 401)
    clock.advance(timedelta(seconds=1))
    kept.denied(denied(address), 401)  # a new minute
    await kept.flush(database)
    async with database.transaction() as tx:
        rows = [r.entry for r in await operators.list_audit(tx, about=("address", address), limit=100)]
    assert counted("denied.key") - before == 1_002
    assert [row.action for row in reversed(rows)] == ["denied.key"] * LISTED_MAX + ["denied.origin"] + [
        "denied.key"
    ] * 2
    (rest,) = [row for row in rows if "left_out" in (row.after or {})]
    assert rest.after is not None
    assert rest.after["left_out"] == 1_001 - LISTED_MAX
    assert f"{1_001 - LISTED_MAX} more within a minute" in rest.reason


async def test_a_flood_from_many_addresses_is_bounded_too(database: Database, clock: ManualClock) -> None:
    kept = Traces(clock)
    for number in range(5_000):
        kept.denied(denied(f"198.51.{number // 250}.{number % 250}"), 401)
    clock.advance(timedelta(minutes=1))
    async with database.transaction() as tx:
        before = (await operators.list_audit(tx, limit=1))[0].seq
    await kept.flush(database)
    async with database.transaction() as tx:
        written = await operators.list_audit(tx, limit=10_000)
    new = [record.entry for record in written if record.seq > before]
    assert len(new) == ADDRESSES_MAX + LISTED_MAX + 1
    (rest,) = [entry.after for entry in new if entry.object_id == "other addresses"]
    assert rest is not None
    assert rest["left_out"] == 5_000 - ADDRESSES_MAX - LISTED_MAX


async def test_a_trace_that_cannot_be_written_waits_for_the_database(
    database: Database, clock: ManualClock, database_url: str
) -> None:
    kept, address = Traces(clock), f"192.0.2.{secrets.token_hex(4)}"
    kept.denied(denied(address), 401)
    async with Database.open(database_url, size=1) as closed:
        pass
    with pytest.raises(Unavailable):
        await kept.flush(closed)
    await kept.flush(database)
    async with database.transaction() as tx:
        assert len(await operators.list_audit(tx, about=("address", address))) == 1


async def test_no_answer_of_the_api_is_kept_by_a_cache(platform_api: PlatformApi, shop: Shop) -> None:
    _, as_admin = await platform_api.person(Role.ADMIN)
    document = platform_api.described.whole
    asked = 0
    for path, verbs in document["paths"].items():
        address = path.replace("{", "").replace("}", "")
        for method in verbs:
            for headers in (as_admin, {"Authorization": f"Bearer {shop.key}"}, {}):
                answer = await platform_api.call(method.upper(), address, headers=headers)
                assert answer.headers["cache-control"] == "no-store", (method, path, answer.status)
                asked += 1
    assert asked > 200


async def test_guesses_of_links_are_slowed_on_every_route_of_the_cashier(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    slowed = "hutong_guesses_slowed_total"
    for _ in range(31):
        await platform_api.call("GET", f"/pay/{payment['id']}?token=wrong")
    for method, path, body in (
        ("GET", f"/pay/{payment['id']}?token=wrong", None),
        ("GET", f"/pay/{payment['id']}/status", None),
        ("POST", f"/pay/{payment['id']}/attempts", {"method": "wechat_native"}),
        ("GET", "/pay/pay_01kas0000000000000000000aa?token=wrong", None),
    ):
        before = REGISTRY.get_sample_value(slowed) or 0.0
        answer = await platform_api.call(method, path, json=body, headers={"X-Checkout-Token": "wrong"})
        assert answer.status == 404, path
        assert (REGISTRY.get_sample_value(slowed) or 0.0) == before + 1, path
