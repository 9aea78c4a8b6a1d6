"""Where several bank accounts may receive a channel's money, what is set decides, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from bank_world import MONDAY, ONE, BankWorld, credit

from hutong.db import Database
from hutong.errors import Conflict
from hutong.ids import encode
from hutong.reconciliation import bank

ACCOUNT = "acc_01h455vb4pex5vsknk084sn02q"
ACCOUNTS = [
    bank.BankAccount(UUID(int=number), name, name, currency, datetime(2026, 1, 1, tzinfo=UTC))
    for number, (name, currency) in enumerate((("main", "CNY"), ("reserve", "CNY"), ("us", "USD")), start=1)
]


@pytest.mark.parametrize(
    ("settings", "currency", "expected"),
    [
        ({}, "USD", ["us"]),
        ({}, "EUR", []),
        ({}, "CNY", ["main", "reserve"]),
        ({"wechat": ["reserve"]}, "CNY", ["reserve"]),
        ({"wechat": [encode("bka", UUID(int=1))]}, "CNY", ["main"]),
        ({"wechat": ["reserve"], ACCOUNT: ["main"]}, "CNY", ["main"]),
        ({"alipay": ["reserve"]}, "CNY", ["main", "reserve"]),
        ({"wechat": ["us"]}, "CNY", ["main", "reserve"]),
        ({"wechat": ["us", "main"]}, "CNY", ["main"]),
    ],
)
def test_a_bank_account_is_certain_only_alone_or_by_its_name(
    settings: Mapping[str, Sequence[str]], currency: str, expected: list[str]
) -> None:
    found = bank.receivers_of("wechat", ACCOUNT, currency, ACCOUNTS, settings)
    assert [account.name for account in found] == expected


def test_a_name_that_no_bank_account_has_is_refused() -> None:
    with pytest.raises(Conflict, match="`mian`"):
        bank.receivers_of("wechat", ACCOUNT, "CNY", ACCOUNTS, {"wechat": ["mian"]})


async def test_money_that_may_go_to_two_accounts_is_refused_until_one_is_set(
    database: Database, tmp_path: Path
) -> None:
    world = BankWorld(database, tmp_path / "reconciliation")
    await world.open("main")
    await world.open("reserve")
    bill = await world.bill("m100", 1_000, to="main")
    other = await world.bill("m200", 75, to=None)
    for name in ("main", "reserve"):
        with pytest.raises(Conflict, match=r"HUTONG_RECON_SETTLES_TO") as refused:
            await world.statement(MONDAY + ONE, [credit("B1", 75, "m200")], name=name)
        assert encode("acc", world.channels["m200"]) in refused.value.detail
    world.settle("m200", "reserve")
    await world.run(MONDAY + ONE, name="reserve")
    assert [await world.state(other), await world.state(bill)] == ["closed", "matched"]
    assert await world.cases("reserve") == []
    await world.run(MONDAY + ONE)
    waiting, stray = await world.cases()
    assert (waiting[0], waiting[1], stray[0], stray[1]) == (
        f"m100:{MONDAY}", "missing", f"m200:{MONDAY}", "unexpected",
    )  # fmt: skip
    assert (await world.owed("m200"), await world.owed("m100")) == (-75, 0)
