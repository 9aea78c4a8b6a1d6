"""Bringing in what runs find: identity, waiting, re-opening, and suspense that holds exactly the open cases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from difference_rows import difference_row, missing, other_fee, side_row, unexpected, waiting

from hutong.clock import ManualClock
from hutong.db import Tx
from hutong.ids import Ids
from hutong.reconciliation import differences
from hutong.reconciliation.model import Layer

DAY = date(2026, 11, 2)
NEXT = timedelta(days=1)
PAYMENTS = Layer.PAYMENT_BILL


class Account:
    """An account whose differences are recorded, and its books."""

    def __init__(self, tx: Tx, clock: ManualClock, ids: Ids) -> None:
        self.tx, self.clock, self.ids, self.account_id = tx, clock, ids, ids.new()

    async def record(
        self, day: date, rows: Iterable[dict[str, Any]], *, late: Iterable[str] = (), layer: Layer = PAYMENTS
    ) -> differences.RecordedDifferences:
        recorded = await differences.record(
            self.tx, account_id=self.account_id, day=day, layer=layer, rows=list(rows), matched_late=set(late),
            now=self.clock.now(), new_id=self.ids.new,
        )  # fmt: skip
        assert await differences.check_suspense(self.tx) == []
        return recorded

    async def balance(self, code: int) -> int:
        """Debits less credits of the account's subject."""
        query = """SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM ledger.account
            WHERE user_data_128 = $1 AND code = $2"""
        return int(await self.tx.fetchval(query, self.account_id, code))

    async def states(self) -> dict[tuple[str, str], tuple[str, int, int]]:
        """State, suspense and the count of re-openings, by key and class."""
        query = (
            "SELECT key, class, state, suspense_minor, reopened FROM reconciliation.difference WHERE account_id = $1"
        )
        rows = await self.tx.fetch(query, self.account_id)
        return {(row["key"], row["class"]): (row["state"], row["suspense_minor"], row["reopened"]) for row in rows}

    async def history(self) -> list[str]:
        query = """SELECT e.what FROM reconciliation.difference_entry e
            JOIN reconciliation.difference d ON d.id = e.difference_id WHERE d.account_id = $1 ORDER BY e.id"""
        return [row["what"] for row in await self.tx.fetch(query, self.account_id)]


@pytest.fixture
def account(tx: Tx, clock: ManualClock, ids: Ids) -> Account:
    return Account(tx, clock, ids)


async def test_a_case_moves_its_money_into_suspense_so_that_the_receivable_follows_the_bill(account: Account) -> None:
    recorded = await account.record(DAY, [unexpected("a", 1_000), missing("b", 300)])
    assert recorded == differences.RecordedDifferences(opened=2)
    assert await account.states() == {("a", "unexpected"): ("open", 1_000, 0), ("b", "missing"): ("open", -300, 0)}
    assert (await account.balance(1101), await account.balance(2301)) == (700, -700)


async def test_the_same_rows_again_change_nothing(account: Account) -> None:
    rows = [unexpected("a", 1_000), waiting("ours", "b", 300), other_fee("c", 10_000, 60, 75)]
    await account.record(DAY, rows)
    history, states = await account.history(), await account.states()
    assert await account.record(DAY, rows) == differences.RecordedDifferences(waiting=1)
    assert await account.record(DAY + NEXT, rows) == differences.RecordedDifferences(waiting=1)
    assert await account.record(DAY, rows) == differences.RecordedDifferences(waiting=1)
    assert (await account.history(), await account.states()) == (history, states)


async def test_a_waiting_row_is_no_case_until_its_time_is_over(account: Account) -> None:
    await account.record(DAY, [waiting("ours", "a", 500), waiting("theirs", "b", 700)])
    assert await account.balance(2301) == 0
    recorded = await account.record(DAY + NEXT, [missing("a", 500)], late=["b"])
    assert recorded == differences.RecordedDifferences(opened=1, resolved=1)
    assert await account.states() == {("a", "missing"): ("open", -500, 0), ("b", "unexpected"): ("resolved", 0, 0)}
    assert await account.history() == ["rolled", "rolled", "opened", "matched"]


async def test_a_partner_that_comes_takes_the_case_out_of_suspense(account: Account) -> None:
    await account.record(DAY, [missing("a", 500)])
    await account.record(DAY + NEXT, [], late=["a"])
    assert await account.states() == {("a", "missing"): ("resolved", 0, 0)}
    assert (await account.balance(1101), await account.balance(2301)) == (0, 0)
    voucher = await account.tx.fetchval(
        "SELECT voucher FROM reconciliation.difference WHERE account_id = $1", account.account_id
    )
    assert isinstance(voucher, UUID)


async def test_absence_alone_proves_nothing_about_an_earlier_day(account: Account) -> None:
    await account.record(DAY, [missing("a", 500)])
    await account.record(DAY + NEXT, [])
    assert await account.states() == {("a", "missing"): ("open", -500, 0)}


async def test_a_pair_that_differs_ends_the_wait_of_both_of_its_rows(account: Account) -> None:
    await account.record(DAY, [waiting("ours", "a", 500)])
    ours, theirs = [side_row("a", 500)], [side_row("a", 480)]
    await account.record(
        DAY + NEXT, [difference_row("mismatch", "both", "a", ours=ours, theirs=theirs, column="settled")]
    )
    assert await account.states() == {("a", "missing"): ("resolved", 0, 0), ("a", "mismatch"): ("open", -20, 0)}


async def test_other_content_moves_suspense_whole_and_never_nets(account: Account) -> None:
    await account.record(DAY, [unexpected("a", 1_000)])
    await account.record(DAY, [unexpected("a", 1_200)])
    assert await account.states() == {("a", "unexpected"): ("open", 1_200, 0)}
    assert await account.balance(2301) == -1_200
    legs = await account.tx.fetch(
        "SELECT t.amount FROM ledger.journal t JOIN reconciliation.difference d ON d.id = t.user_data_128 "
        "WHERE d.account_id = $1 ORDER BY t.timestamp",
        account.account_id,
    )
    assert [row["amount"] for row in legs] == [1_000, 1_000, 1_200]


async def test_a_restated_day_reopens_what_it_had_matched(account: Account) -> None:
    await account.record(DAY, [missing("a", 500)])
    await account.record(DAY + NEXT, [], late=["a"])
    assert (
        await account.record(DAY, [missing("a", 500)]) == differences.RecordedDifferences()
    )  # the earlier day, run again
    assert await account.record(DAY + NEXT, [missing("a", 500)]) == differences.RecordedDifferences(reopened=1)
    assert await account.states() == {("a", "missing"): ("open", -500, 1)}
    assert await account.balance(2301) == 500


async def test_a_restated_day_ends_what_it_does_not_state_any_more(account: Account) -> None:
    await account.record(DAY, [unexpected("a", 1_000)])
    await account.record(DAY, [])
    assert await account.states() == {("a", "unexpected"): ("resolved", 0, 0)}


async def test_a_fee_mismatch_books_the_expected_fee_and_suspends_the_rest(account: Account) -> None:
    await account.record(DAY, [other_fee("a", 10_000, 60, 75)])
    assert [await account.balance(code) for code in (5001, 2301, 1101)] == [60, 15, -75]
    await account.record(DAY, [])
    assert [await account.balance(code) for code in (5001, 2301, 1101)] == [0, 0, 0]


async def test_equal_twins_that_wait_are_one_difference_with_both_rows(account: Account) -> None:
    await account.record(DAY, [waiting("ours", "a", 500), waiting("ours", "a", 500)])
    await account.record(DAY + NEXT, [missing("a", 500)])
    assert await account.states() == {("a", "missing"): ("open", -500, 0)}


async def test_currencies_of_one_key_are_never_added_up(account: Account) -> None:
    await account.record(DAY, [unexpected("a", 1_000), unexpected("a", 700, currency="USD")])
    query = "SELECT column_name, amount_minor FROM reconciliation.difference WHERE account_id = $1 ORDER BY 1"
    rows = await account.tx.fetch(query, account.account_id)
    assert [tuple(row) for row in rows] == [("CNY", 1_000), ("USD", 700)]


async def test_layers_of_our_own_records_move_no_money(account: Account) -> None:
    await account.record(DAY, [missing("a", 500)], layer=Layer.LEDGER_ORDER)
    assert await account.states() == {("a", "missing"): ("open", 0, 0)}


async def test_money_at_the_bank_that_nobody_expects_is_suspended_and_a_late_batch_is_not(account: Account) -> None:
    await account.record(DAY, [missing("batch-1", 9_000), unexpected("fee", -30)], layer=Layer.BATCH_BANK)
    ours, theirs = [side_row("batch-2", 1_000)], [side_row("batch-2", 1_050)]
    more = difference_row("mismatch", "both", "batch-2", ours=ours, theirs=theirs, column="settled")
    await account.record(DAY, [more], layer=Layer.BATCH_BANK)
    states = await account.states()
    assert states["batch-1", "missing"] == ("resolved", 0, 0)
    assert states["batch-2", "mismatch"] == ("open", 50, 0)


async def test_matched_fees_are_the_channels_cost(account: Account) -> None:
    fees = [differences.MatchedFee("CNY", 75), differences.MatchedFee("CNY", -15), differences.MatchedFee("USD", 0)]
    await differences.book_matched(
        account.tx, account_id=account.account_id, fees=fees, now=account.clock.now(), new_id=account.ids.new
    )
    assert (await account.balance(5001), await account.balance(1101)) == (60, -60)


async def test_thousands_of_differences_take_no_more_statements_than_ten(account: Account) -> None:
    counts = []
    for number, size in enumerate((10, 1_000)):
        statements: list[str] = []
        account.tx.add_query_logger(lambda query, into=statements: into.append(query.query))
        rows = [unexpected(f"{number}-{place}", 100 + place) for place in range(size)]
        assert (await account.record(DAY + number * NEXT, rows)).opened == size
        counts.append(len(statements))
    assert counts[1] <= counts[0], counts
