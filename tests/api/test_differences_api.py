"""Differences over HTTP: listed, counted, owned and decided, each with the role that it takes."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from test_bad_input import check_problem

from hutong import ids
from hutong.db import Tx
from hutong.operators import Role
from hutong.reconciliation import differences
from hutong.reconciliation.model import Layer
from support.running_platform import PlatformApi

ROOT = "/v1/operator/reconciliation"
BASE = f"{ROOT}/differences"
DAY = date(2026, 11, 2)


async def test_differences_are_listed_counted_owned_and_resolved_by_two_persons(platform_api: PlatformApi) -> None:
    account_id: UUID = platform_api.ids.new()
    account = ids.encode("acc", account_id)

    async def record(tx: Tx) -> None:
        await differences.record(
            tx, account_id=account_id, day=DAY, layer=Layer.PAYMENT_BILL,
            rows=[difference_of("a", 500), difference_of("b", 700)], matched_late=(),
            now=platform_api.clock.now(), new_id=platform_api.ids.new,
        )  # fmt: skip

    await platform_api.database.run(record)
    _, viewer = await platform_api.person(Role.VIEWER)
    maker_id, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)

    async def post(path: str, body: dict[str, Any], headers: dict[str, str] = maker) -> Any:
        return await platform_api.call("POST", f"{ROOT}/{path}", headers=headers, json={"reason": "rounding"} | body)

    listed = (await platform_api.call("GET", f"{BASE}?account={account}&limit=1", headers=viewer)).json
    assert (len(listed["data"]), listed["has_more"]) == (1, True)
    more = f"{BASE}?account={account}&limit=1&cursor={listed['next_cursor']}"
    cases = listed["data"] + (await platform_api.call("GET", more, headers=viewer)).json["data"]
    assert {case["key"]: case["amount_minor"] for case in cases} == {"a": 500, "b": 700}
    (counter,) = (await platform_api.call("GET", f"{BASE}/counters?account={account}", headers=viewer)).json["data"]
    assert (counter["count"], counter["long_minor"], counter["short_minor"]) == (2, 1_200, 0)
    cases.sort(key=lambda case: str(case["key"]))
    owned = {"ids": [cases[0]["id"]], "owner_id": ids.encode("opr", maker_id)}
    assert (await post("difference-assignments", owned, viewer)).status == 403
    _, clerk = await platform_api.person(Role.APPROVER, ["batch_bank"])
    beyond = await post("difference-assignments", owned, clerk)
    assert (beyond.status, check_problem(beyond)["code"]) == (403, "not_permitted")
    assert (await post("difference-assignments", owned)).json["data"][0]["state"] == "assigned"
    one = {"decisions": [{"id": cases[0]["id"], "action": "claim", "reason": "x"}]}
    (refused,) = (await post("difference-decisions", one)).json["refused"]
    assert (refused["place"], refused["reason"]) == (0, "claim is not possible for a long amount")
    assert (await post("difference-decisions", one, viewer)).status == 403
    one = {"decisions": [{"id": cases[0]["id"], "action": "suspense", "reason": "x"}]}
    (refused,) = (await post("difference-decisions", one, clerk)).json["refused"]
    assert refused["reason"] == "payment_bill:suspense is not among the duties of the operator"
    selection = {"filter": {"account_id": account, "at_least_minor": 600}, "action": "write_off"}
    preview = (await post("difference-previews", selection)).json
    assert (preview["count"], preview["totals"]["CNY"]["long_minor"]) == (1, 700)
    other = await post("difference-resolutions", selection | {"digest": "0" * 64})
    assert (other.status, check_problem(other)["code"]) == (409, "conflict")
    done = await post("difference-resolutions", selection | {"digest": preview["digest"]})
    assert done.status == 201
    approve = f"/v1/operator/proposals/{done.json['proposal']['id']}/approve"
    assert (await platform_api.call("POST", approve, headers=clerk, json={"reason": "seen"})).status == 403
    assert (await platform_api.call("POST", approve, headers=checker, json={"reason": "seen"})).status == 200
    resolved = cases[1]
    seen = (await platform_api.call("GET", f"{BASE}/{resolved['id']}", headers=viewer)).json
    assert (seen["state"], seen["suspense_minor"], seen["action"]) == ("resolved", 0, "write_off")
    assert seen["voucher"] is not None
    steps = (await platform_api.call("GET", f"{BASE}/{resolved['id']}/history", headers=viewer)).json["data"]
    assert [step["what"] for step in steps] == ["opened", "proposed", "approved", "resolved"]


async def test_a_filter_of_an_id_that_none_can_be_names_its_field(platform_api: PlatformApi) -> None:
    _, viewer = await platform_api.person(Role.VIEWER)
    _, maker = await platform_api.person(Role.OPERATOR)
    never = "1igzk7amb6n6plz5rg4szqrfz6"  # with letters that ids do not have
    for query in (f"owner=opr_{never}", f"account=acc_{never}"):
        answer = await platform_api.call("GET", f"{BASE}/counters?{query}", headers=viewer)
        assert (answer.status, check_problem(answer)["param"]) == (422, query.partition("=")[0])
    for name, value in (("owner_id", f"opr_{never}"), ("account_id", f"bka_{never}")):
        body = {"filter": {name: value}, "action": "suspense", "reason": "x"}
        answer = await platform_api.call("POST", f"{ROOT}/difference-previews", headers=maker, json=body)
        assert (answer.status, check_problem(answer)["param"]) == (422, f"filter.{name}")


def difference_of(key: str, amount: int) -> dict[str, Any]:
    """A row of theirs alone."""
    return {
        "side": "theirs", "key": key, "class": "unexpected", "column": "", "currency": "CNY", "amount": amount,
        "ours": None, "theirs": None, "reference": "", "day": DAY, "content": f"{amount:064}",
    }  # fmt: skip
