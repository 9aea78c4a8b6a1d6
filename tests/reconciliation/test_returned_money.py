"""A bank that takes a settlement's money back: the channel owes it again, its bill is open again, and events say so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from bank_world import MONDAY, ONE, BankWorld, credit

from hutong.db import Database
from hutong.ids import encode
from hutong.reconciliation import differences, verify
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits

LIMITS = Limits(256)


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> BankWorld:
    world = BankWorld(database, tmp_path / "reconciliation")
    await world.open()
    return world


async def emitted(world: BankWorld, file_id: UUID) -> list[str]:
    async with world.database.transaction() as tx:
        rows = await tx.fetch("SELECT type FROM events.outbox WHERE object_id = $1 ORDER BY object_seq", file_id)
    return [row["type"].partition("_")[2] for row in rows]


async def test_money_that_the_bank_takes_back_is_owed_again_until_it_comes_again(world: BankWorld) -> None:
    bill, other = await world.bill("m100", 1_000), await world.bill("m200", 75)
    await world.statement(MONDAY + ONE, [credit("B1", 1_000, "m100"), credit("B2", 75, "m200")])
    assert [await world.state(bill), await world.state(other)] == ["closed", "closed"]
    await world.statement(MONDAY + 2 * ONE, [])
    tuesday = MONDAY + 3 * ONE
    for again in (False, True):
        if again:
            await world.run(MONDAY + ONE, again=True)  # and the days that stand on it
        else:
            await world.statement(tuesday, [credit("B3", -1_000, "m100")])
        assert [await world.state(bill), await world.state(other)] == ["matched", "closed"]
        assert [await world.owed("m100"), await world.owed("m200")] == [0, -75]
        (case,) = await world.cases()
        assert (case[0], case[1], case[3], case[4]) == (f"m100:{MONDAY}", "mismatch", -1_000, 0)
        assert await emitted(world, bill) == ["closed", "reopened"]
    await world.statement(tuesday + ONE, [credit("B4", 1_000, "m100")])
    assert [await world.state(bill), await world.owed("m100"), await world.cases()] == ["closed", -1_000, []]
    assert (await emitted(world, bill), await emitted(world, other)) == (["closed", "reopened", "closed"], ["closed"])
    async with world.database.transaction() as tx:
        account = encode("bka", world.accounts["main"].bank_account_id)
        assert [line for line in await differences.check_suspense(tx) if account in line] == []
    verified = verify.verify_day(world.config.folder, account, tuesday + ONE, engine="one_sql", limits=LIMITS)
    assert (verified.days, verified.finding) == (4, None)


async def test_a_corrected_statement_takes_the_return_away(world: BankWorld) -> None:
    bill = await world.bill("m100", 1_000)
    await world.statement(MONDAY + ONE, [credit("B1", 1_000, "m100")])
    await world.statement(MONDAY + 2 * ONE, [credit("B3", -1_000, "m100"), credit("B5", 9)])
    assert (await world.state(bill), await world.owed("m100")) == ("matched", 0)
    await world.statement(MONDAY + 2 * ONE, [credit("B3", -1, ""), credit("B5", 9)])
    assert (await world.state(bill), await world.owed("m100")) == ("closed", -1_000)


async def test_a_second_payment_and_a_return_without_a_name_are_cases_of_their_own(world: BankWorld) -> None:
    bill = await world.bill("m100", 1_000)
    await world.statement(MONDAY + ONE, [credit("B1", 1_000, "m100")])
    await world.statement(MONDAY + 2 * ONE, [credit("B2", 1_000, "m100"), credit("B3", -1_000)])
    assert await world.state(bill) == "closed"
    assert [case[1:4] for case in await world.cases()] == [
        ("unexpected", "rolled", -1_000),
        ("unexpected", "rolled", 1_000),
    ]


def test_settled_batches_are_forgotten_after_a_while(tmp_path: Path) -> None:
    import duckdb
    from test_batches import read_rows, write_rows

    from hutong.reconciliation.layers import SideSource
    from hutong.reconciliation.settled import keep_settled

    folder = RunFolder(tmp_path, "bka_x", MONDAY)
    folder.rows(SideSource.BATCHES).parent.mkdir(parents=True)
    (results := tmp_path / "results").mkdir()
    write_rows(folder.settled(SideSource.BATCHES), [
        {"batch": name, "day": MONDAY - timedelta(days)} for name, days in (("new", 90), ("old", 91))
    ])  # fmt: skip
    with duckdb.connect() as duck:
        keep_settled(duck, folder, results)
    assert [row["batch"] for row in read_rows(results / "carry-settled-batches.parquet")] == ["new"]
