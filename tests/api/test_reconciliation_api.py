"""Operators upload bills, see what became of them, and have days reconciled."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

from hutong import ids
from hutong.operators import Role
from hutong.reconciliation import files
from support.running_platform import PlatformApi

FILES = "/v1/operator/reconciliation/files"
BINARY = {"Content-Type": "application/octet-stream"}
DAY = "2026-03-30"


async def test_a_bill_is_uploaded_by_an_operator_and_read(platform_api: PlatformApi) -> None:
    _, viewer = await platform_api.person(Role.VIEWER)
    operator_id, operator = await platform_api.person(Role.OPERATOR)
    account = ids.encode("acc", platform_api.account_ids["unionpay"])
    query = urlencode({"account": account, "layout": "unionpay_zm", "day": DAY, "name": "bill.zm"})
    path, content = f"{FILES}?{query}", datetime.now(UTC).isoformat().encode()
    assert (await platform_api.call("POST", path, body=content, headers=BINARY | viewer)).status == 403
    first = await platform_api.call("POST", path, body=content, headers=BINARY | operator)
    assert (first.status, first.json["state"], first.json["day"]) == (201, "received", DAY)
    again = await platform_api.call("POST", path.replace("bill.zm", "renamed"), body=content, headers=BINARY | operator)
    assert again.json == first.json, "the same content changes nothing"
    file_id = ids.decode("bfl", first.json["id"])
    await files.read_file(platform_api.platform.reconciliation, file_id)
    shown = await platform_api.call("GET", f"{FILES}/{first.json['id']}", headers=viewer)
    assert (shown.json["state"], shown.json["rows"]) == ("refused", None)
    assert shown.json["reason"]
    listed = await platform_api.call("GET", f"{FILES}?account={account}&state=refused", headers=viewer)
    assert shown.json in listed.json["data"]
    async with platform_api.admin.transaction() as tx:
        actor = await tx.fetchval("SELECT actor_id FROM operators.audit WHERE action = 'reconciliation.upload' LIMIT 1")
    assert actor == operator_id


async def test_an_upload_that_cannot_be_taken_names_the_field(platform_api: PlatformApi) -> None:
    _, operator = await platform_api.person(Role.OPERATOR)
    right = {
        "account": ids.encode("acc", platform_api.account_ids["unionpay"]),
        "layout": "unionpay_zm",
        "day": DAY,
        "name": "bill.zm",
    }
    wrong = {"account": "acc_01h455vb4pex5vsknk084sn02q", "layout": "none", "day": "2999-01-01", "name": "../x"}
    for field, value in wrong.items():
        answer = await platform_api.call(
            "POST", f"{FILES}?{urlencode(right | {field: value})}", body=b"x", headers=BINARY | operator
        )
        assert (answer.status, answer.json["param"]) == (422, field)
    path = f"{FILES}?{urlencode(right)}"
    empty = await platform_api.call("POST", path, body=b"", headers=BINARY | operator)
    assert (empty.status, empty.json["param"]) == (422, "file")
    typed = await platform_api.call("POST", path, body=b"{}", headers=operator)
    assert (typed.status, typed.json["param"]) == (415, "Content-Type")


async def test_a_day_is_reconciled_on_request(platform_api: PlatformApi) -> None:
    operator_id, operator = await platform_api.person(Role.OPERATOR)
    _, viewer = await platform_api.person(Role.VIEWER)
    body = {"account": ids.encode("acc", platform_api.account_ids["wechat"]), "day": DAY}
    path = "/v1/operator/reconciliation/requests"
    assert (await platform_api.call("POST", path, json=body, headers=viewer)).status == 403
    made = await platform_api.call("POST", path, json=body, headers=operator)
    assert (made.status, made.json["requested_by"], made.json["done_at"]) == (202, ids.encode("opr", operator_id), None)
    again = await platform_api.call("POST", path, json=body, headers=operator)
    assert again.json["id"] == made.json["id"], "a request that is open is taken for this one"
    listed = await platform_api.call("GET", f"{path}?state=open", headers=viewer)
    assert again.json in listed.json["data"]
    shown = await platform_api.call("GET", f"{path}/{made.json['id']}", headers=viewer)
    assert shown.json == again.json
    runs = await platform_api.call("GET", f"/v1/operator/reconciliation/runs?day={DAY}", headers=viewer)
    assert (runs.status, runs.json["data"]) == (200, [])
