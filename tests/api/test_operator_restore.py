"""/v1/operator/restore: the catch-up over HTTP."""

from __future__ import annotations

from hutong import db, operators
from hutong.ids import encode
from hutong.operators import Role
from support.running_platform import PlatformApi

PATH = "/v1/operator/restore"


async def test_a_catch_up_is_seen_by_all_roles_and_ended_by_an_operator_with_a_reason(
    platform_api: PlatformApi,
) -> None:
    _, viewer = await platform_api.person(Role.VIEWER)
    operator_id, operator = await platform_api.person(Role.OPERATOR)
    normal = await platform_api.call("GET", PATH, headers=viewer)
    assert (normal.status, normal.json["mode"], normal.json["bills_unread"]) == (200, "normal", None)
    refused = await platform_api.call("POST", f"{PATH}/finish", json={"reason": "x"}, headers=operator)
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    now = platform_api.clock.now()
    await platform_api.database.run(
        lambda tx: db.begin_catch_up(tx, db.CatchUpReason.OPERATOR, now=now, lost_since=now)
    )
    seen = await platform_api.call("GET", PATH, headers=viewer)
    assert (seen.json["mode"], seen.json["reason"], seen.json["unknown_numbers"]) == ("catch_up", "operator", [])
    assert {bill["account"][:4] for bill in seen.json["bills_unread"]} == {"acc_"}
    for headers, body, status in (
        (viewer, {"reason": "x"}, 403),
        (operator, {"reason": " "}, 422),
        (operator, {}, 422),
    ):
        assert (await platform_api.call("POST", f"{PATH}/finish", json=body, headers=headers)).status == status
    assert (await platform_api.call("GET", PATH, headers=viewer)).json["mode"] == "catch_up"
    ended = await platform_api.call("POST", f"{PATH}/finish", json={"reason": "bills compared"}, headers=operator)
    assert (ended.status, ended.json["mode"]) == (200, "normal")
    async with platform_api.database.transaction() as tx:
        (record,) = await operators.list_audit(tx, about=("restore", str(seen.json["epoch"])))
        by = await tx.fetchval("SELECT finished_by FROM db.catch_up ORDER BY id DESC LIMIT 1")
    assert (record.entry.actor_id, record.entry.action, record.entry.reason) == (
        operator_id,
        "restore.finish",
        "bills compared",
    )
    assert by == encode("opr", operator_id)
    await db.refresh_catch_up(platform_api.platform.database)


async def test_a_lost_bill_is_dismissed_by_an_operator_with_a_reason_and_audited(platform_api: PlatformApi) -> None:
    _, viewer = await platform_api.person(Role.VIEWER)
    operator_id, operator = await platform_api.person(Role.OPERATOR)
    now = platform_api.clock.now()
    account = encode("acc", platform_api.account_id)
    path = f"{PATH}/bills/{account}/{now.date()}/dismiss"
    normal = await platform_api.call("POST", path, json={"reason": "x"}, headers=operator)
    assert (normal.status, normal.json["code"]) == (409, "conflict")
    await platform_api.database.run(
        lambda tx: db.begin_catch_up(tx, db.CatchUpReason.OPERATOR, now=now, lost_since=now)
    )
    seen = await platform_api.call("GET", PATH, headers=viewer)
    bill = next(one for one in seen.json["bills_unread"] if one["account"] == account)
    assert (bill["fetches"], bill["error"], bill["next_at"]) == (0, None, bill["made_at"])
    path = f"{PATH}/bills/{account}/{bill['day']}/dismiss"
    before = await platform_api.fingerprint()
    for target, headers, body, status in (
        (path, viewer, {"reason": "x"}, 403),
        (path, operator, {"reason": " "}, 422),
        (path, operator, {}, 422),
        (f"{PATH}/bills/{account}/2026-02-30/dismiss", operator, {"reason": "x"}, 422),
        (f"{PATH}/bills/{account}/2020-01-01/dismiss", operator, {"reason": "x"}, 404),
        (f"{PATH}/bills/acc_x/{bill['day']}/dismiss", operator, {"reason": "x"}, 404),
    ):
        answer = await platform_api.call("POST", target, json=body, headers=headers)
        assert (answer.status, target) == (status, target), answer.body
    assert await platform_api.fingerprint() == before
    done = await platform_api.call("POST", path, json={"reason": "closed in May"}, headers=operator)
    assert done.status == 200, done.body
    assert done.json["bills_unread"] == [one for one in seen.json["bills_unread"] if one != bill]
    again = await platform_api.call("POST", path, json={"reason": "closed in May"}, headers=operator)
    assert again.status == 404
    await platform_api.call("POST", f"{PATH}/finish", json={"reason": "done"}, headers=operator)
    async with platform_api.database.transaction() as tx:
        records = await operators.list_audit(tx, about=("restore", str(seen.json["epoch"])))
    (entry,) = [one.entry for one in records if one.entry.action == "restore.dismiss_bill"]
    assert (entry.actor_id, entry.reason, entry.after) == (
        operator_id,
        "closed in May",
        {"account": account, "day": bill["day"]},
    )
    await db.refresh_catch_up(platform_api.platform.database)
