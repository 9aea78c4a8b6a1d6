"""/v1/operator/ledger: the books over HTTP, with the roles of operators."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hutong import ledger
from hutong.clock import to_ns
from hutong.operators import Role
from support.running_platform import PlatformApi

BASE = "/v1/operator/ledger"
WHY = {"reason": "agreed with the auditor"}


class Finance:
    """An operator, an approver and a viewer, and accounts of an owner of their own."""

    def __init__(self, api: PlatformApi) -> None:
        self.api = api
        self.owner = str(uuid.uuid4())
        self.headers: dict[Role, dict[str, str]] = {}

    async def open(self) -> Finance:
        for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER):
            _, self.headers[role] = await self.api.person(role)
        return self

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self.api.call("GET", f"{BASE}{path}", headers=self.headers[Role.VIEWER])
        assert answer.status == status, answer.body
        return answer.json

    async def post(self, path: str, body: dict[str, Any], status: int = 200, role: Role = Role.OPERATOR) -> Any:
        answer = await self.api.call("POST", f"{BASE}{path}", json=WHY | body, headers=self.headers[role])
        assert answer.status == status, answer.body
        return answer.json

    async def approve(self, proposal: dict[str, Any], status: int = 200) -> Any:
        path = f"/v1/operator/proposals/{proposal['id']}/approve"
        answer = await self.api.call("POST", path, json={"reason": "seen"}, headers=self.headers[Role.APPROVER])
        assert answer.status == status, answer.body
        return answer.json

    async def account(self, code: int, currency: str = "CNY") -> str:
        opened = await self.post("/accounts", {"code": code, "currency": currency, "owner": self.owner})
        return str(opened["account_id"])

    async def balance(self, account: str) -> int:
        (row,) = [
            row for row in (await self.get(f"/accounts?owner={self.owner}"))["data"] if row["account_id"] == account
        ]
        return int(row["balance_minor"])

    async def transfer(self, debit: str, credit: str, amount: int, status: int = 200) -> Any:
        body = {"transfer_id": str(self.api.ids.new()), "debit_account_id": debit, "credit_account_id": credit,
                "amount_minor": amount}  # fmt: skip
        return await self.post("/transfers", body, status)


@pytest.fixture
async def finance(platform_api: PlatformApi) -> Finance:
    return await Finance(platform_api).open()


WRITES = [
    ("/accounts", {"code": 3102, "currency": "CNY"}),
    ("/accounts/{id}/close", {}),
    ("/accounts/{id}/reopen", {}),
    ("/accounts/{id}/overdraft", {"limit_minor": 5}),
    ("/subjects", {"code": 5190, "parent": 5100, "name_en": "x", "name_zh": "y"}),
    ("/transfers", {"transfer_id": "{id}", "debit_account_id": "{id}", "credit_account_id": "{id}", "amount_minor": 1}),
    ("/transfers/{id}/reverse", {}),
    ("/entries", {"lines": [{"account_id": "{id}", "side": side, "amount_minor": 1, "currency": "CNY"}
                            for side in ("debit", "credit")]}),
    ("/periods", {"period": "2026-03"}),
    ("/standing-orders", {"from_account_id": "{id}", "to_account_id": "{id}", "most_minor": 1, "every_minutes": 1}),
    ("/standing-orders/{id}/stop", {}),
    ("/memos/points/entries", {"owner": "{id}", "ref": "x", "amount": 1}),
]  # fmt: skip


def filled(value: Any, identifier: str) -> Any:
    if isinstance(value, dict):
        return {key: filled(one, identifier) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, identifier) for one in value]
    return value.replace("{id}", identifier) if isinstance(value, str) else value


@pytest.mark.parametrize(("path", "body"), WRITES, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_viewer_writes_nothing_and_a_reason_is_needed(
    finance: Finance, path: str, body: dict[str, Any]
) -> None:
    identifier = str(uuid.uuid4())
    before = await finance.api.fingerprint()
    refused = await finance.post(filled(path, identifier), filled(body, identifier), 403, role=Role.VIEWER)
    assert refused["code"] == "not_permitted"
    without = await finance.post(filled(path, identifier), filled(body, identifier) | {"reason": ""}, 422)
    assert without["param"] == "reason"
    assert await finance.api.fingerprint() == before


async def test_accounts_are_opened_limited_closed_and_listed(finance: Finance) -> None:
    merchant = await finance.account(2001)
    assert await finance.account(2001) == merchant
    dollars = await finance.account(2001, "USD")
    first = await finance.get(f"/accounts?owner={finance.owner}&limit=1")
    assert [row["account_id"] for row in first["data"]] == [merchant]
    second = await finance.get(f"/accounts?owner={finance.owner}&cursor={first['next_cursor']}")
    assert [(row["account_id"], row["currency"]) for row in second["data"]] == [(dollars, "USD")]
    assert (await finance.post(f"/accounts/{merchant}/overdraft", {"limit_minor": 700}))["overdraft_limit_minor"] == 700
    (change,) = (await finance.get(f"/accounts/{merchant}/overdrafts"))["data"]
    assert (change["old_limit_minor"], change["new_limit_minor"], change["reason"]) == (0, 700, WHY["reason"])
    assert (await finance.post(f"/accounts/{dollars}/close", {}))["closed"] is True
    assert (await finance.post(f"/accounts/{dollars}/close", {}, 409))["detail"] == "the account is closed already"
    closed = await finance.get(f"/accounts?owner={finance.owner}&closed=true")
    assert [row["account_id"] for row in closed["data"]] == [dollars]
    assert (await finance.post(f"/accounts/{dollars}/reopen", {}))["closed"] is False
    await finance.get(f"/accounts/{uuid.uuid4()}/overdrafts", 404)
    assert (await finance.get("/accounts?currency=XXX", 422))["param"] == "currency"
    assert (await finance.post("/accounts", {"code": 7001, "currency": "CNY"}, 422))["param"] == "code"


async def test_bookings_and_reversals_above_the_limit_become_proposals(finance: Finance) -> None:
    channel, merchant = await finance.account(1101), await finance.account(2001)
    booked = await finance.transfer(channel, merchant, 100_000)
    assert booked["already"] is False
    proposal = await finance.transfer(channel, merchant, 100_001, 201)
    assert (proposal["action"], await finance.balance(merchant)) == ("ledger.book", 100_000)
    await finance.approve(proposal)
    assert await finance.balance(merchant) == 200_001
    done = await finance.post(f"/transfers/{booked['transfer_id']}/reverse", {})
    assert (done["already"], await finance.balance(merchant)) == (False, 100_001)
    assert (await finance.post(f"/transfers/{booked['transfer_id']}/reverse", {}))["reversal_id"] == done["reversal_id"]
    refused = await finance.post(f"/transfers/{done['reversal_id']}/reverse", {}, 409)
    assert "a reversal" in refused["detail"]
    large = proposal["payload"]["transfer_id"]
    await finance.approve(await finance.post(f"/transfers/{large}/reverse", {}, 201))
    assert await finance.balance(merchant) == 0
    reversals = (await finance.get("/reversals?limit=2"))["data"]
    assert [row["transfer_id"] for row in reversals] == [large, booked["transfer_id"]]
    await finance.post(f"/transfers/{uuid.uuid4()}/reverse", {}, 404)


async def test_an_entry_is_booked_by_its_approval_and_found_by_its_reference(finance: Finance) -> None:
    bank, channel, merchant = [await finance.account(code) for code in (1001, 1101, 2001)]
    reference = str(uuid.uuid4())

    def lines(*amounts: int) -> list[dict[str, Any]]:
        sides = zip((bank, channel, merchant), ("debit", "debit", "credit"), amounts, strict=True)
        return [{"account_id": a, "side": s, "amount_minor": n, "currency": "CNY"} for a, s, n in sides]

    refused = await finance.post("/entries", {"lines": lines(5, 6, 10)}, 422)
    assert "debits exceed the credits by 1" in refused["detail"]
    wrong = lines(5, 6, 11)
    wrong[1]["currency"] = "USD"
    assert (await finance.post("/entries", {"lines": wrong}, 422))["param"] == "lines[1].currency"
    proposal = await finance.post("/entries", {"lines": lines(5, 6, 11), "reference": reference}, 201)
    assert await finance.balance(merchant) == 0
    await finance.approve(proposal)
    assert await finance.balance(merchant) == 11
    rows = (await finance.get(f"/transfers?reference={reference}"))["data"]
    assert [(row["event"], row["amount_minor"]) for row in rows] == [
        (80, 5), (80, 6),
    ]  # fmt: skip
    (found,) = (await finance.get(f"/transfers?reference={reference}&amount_minor=6"))["data"]
    assert found["debit_account_id"] == channel
    day = found["accounting_date"]
    assert len((await finance.get(f"/transfers?reference={reference}&since={day}&until={day}"))["data"]) == 2
    assert (await finance.get("/transfers?since=2026-03-02&until=2026-03-01", 422))["param"] == "since"


async def test_closed_days_are_reported_and_others_are_refused(finance: Finance) -> None:
    channel, merchant = await finance.account(1101), await finance.account(2001)
    await finance.transfer(channel, merchant, 500)
    now = finance.api.clock.now()
    cut = await ledger.run_day_cut(finance.api.database, now=now + timedelta(days=1))
    while cut is not None and cut.waiting:
        cut = await ledger.run_day_cut(finance.api.database, now=now + timedelta(days=1))
    assert cut is not None
    day = str(cut.day)
    statements = (await finance.get(f"/day-statements?day={day}&limit=100"))["data"]
    mine = {one["account_id"]: one for one in statements if one["account_id"] in (channel, merchant)}
    assert (mine[merchant]["closing_minor"], mine[merchant]["closing"]) == (500, "5.00")
    assert [(line["credit_minor"], line["balance_minor"]) for line in mine[merchant]["lines"]] == [(500, 500)]
    balances = (await finance.get(f"/balances?day={day}&code=2001&limit=100"))["data"]
    assert {row["account_id"]: row["balance"] for row in balances}[merchant] == "5.00"
    lines = (await finance.get(f"/general-ledger/accounts?since={day}&until={day}&code=1101&limit=100"))["data"]
    assert {row["account_id"]: (row["opening_minor"], row["closing_minor"]) for row in lines}[channel] == (0, 500)
    subjects = (await finance.get(f"/general-ledger?since={day}&until={day}"))["data"]
    assert sum(row["debits_minor"] - row["credits_minor"] for row in subjects) == 0
    later = cut.day + timedelta(days=1)
    for path in (
        f"/day-statements?day={later}",
        f"/balances?day={later}",
        f"/general-ledger?since={day}&until={later}",
    ):
        assert "is not closed" in (await finance.get(path, 409))["detail"]
    refused = await finance.post("/periods", {"period": f"{later + timedelta(days=40):%Y-%m}"}, 409)
    assert "is not closed" in refused["detail"]
    assert (await finance.get("/periods"))["data"] == []
    assert (await finance.get("/periods/2026-03/carries"))["data"] == []


async def test_holds_orders_memos_and_the_chart(finance: Finance) -> None:
    source, target = await finance.account(2002), await finance.account(2003)
    bank, dollars = await finance.account(1001), await finance.account(2003, "USD")
    await finance.transfer(bank, source, 90)
    hold = ledger.Transfer(
        id=finance.api.ids.new().int, debit_account_id=UUID(source).int, credit_account_id=UUID(target).int, amount=40,
        ledger=156, code=13, flags=ledger.TransferFlags.PENDING, timeout=3_600,
    )  # fmt: skip
    async with finance.api.database.transaction() as tx:
        await ledger.Ledger(tx, clock=lambda: to_ns(finance.api.clock.now())).create_transfers([hold])
    (shown,) = (await finance.get(f"/holds?account_id={source}"))["data"]
    assert (shown["hold_id"], shown["amount"], shown["event_en"]) == (str(UUID(int=hold.id)), "0.40", "payout")
    assert shown["expires_at"] > shown["at"]
    order = {"from_account_id": source, "to_account_id": target, "most_minor": 30, "every_minutes": 1_440}
    refused = await finance.post("/standing-orders", order | {"to_account_id": dollars}, 422)
    assert refused["detail"] == "the two accounts keep different currencies"
    added = await finance.post("/standing-orders", order | {"first_at": "2100-01-01T00:00:00Z"}, 201)
    assert (added["every_minutes"], added["next_at"], added["currency"]) == (1_440, "2100-01-01T00:00:00.000Z", "CNY")
    await finance.post("/standing-orders", order, 409)
    assert (await finance.post(f"/standing-orders/{added['order_id']}/stop", {}))["active"] is False
    await finance.post(f"/standing-orders/{added['order_id']}/stop", {}, 409)
    active = (await finance.get("/standing-orders?active=true&limit=100"))["data"]
    assert added["order_id"] not in [one["order_id"] for one in active]
    name = f"points-{uuid.uuid4().hex[:8]}"
    entry = {"owner": finance.owner, "ref": "order 1", "amount": 10}
    assert [(await finance.post(f"/memos/{name}/entries", entry))["entered"] for _ in range(2)] == [True, False]
    await finance.post(f"/memos/{name}/entries", entry | {"amount": 11}, 409)
    assert (await finance.get(f"/memos/{name}"))["data"] == [
        {"object": "memo_total", "owner": finance.owner, "total": 10, "entries": 1}
    ]
    (counted,) = (await finance.get(f"/memos/{name}/entries?owner={finance.owner}"))["data"]
    assert (counted["ref"], counted["total_after"]) == ("order 1", 10)
    assert name in [one["ledger"] for one in (await finance.get("/memos"))["data"]]
    mark = uuid.uuid4().hex[:8]
    subject = {"code": 5191, "parent": 5100, "name_en": f"charges {mark}", "name_zh": f"费用{mark}"}
    assert (await finance.post("/subjects", subject, 201))["kind"] == "expense"
    await finance.post("/subjects", subject, 409)
    chart = {row["code"]: row for row in (await finance.get("/subjects"))["data"]}
    assert (chart[5191]["added"], chart[4001]["added"], chart[5191]["parent"]) == (True, False, 5100)
