"""Accounting on top of the transfers: chains, days, statements, corrections, standing orders, memos."""

from __future__ import annotations

import asyncio
import gzip
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from hutong import export, ledger
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter, InvariantBroken, NotFound
from hutong.ids import Ids
from hutong.ledger import Account, CreateTransferStatus, EventCode, Transfer, TransferFlags
from hutong.ledger import AccountOwner as O
from hutong.ledger.accounting.chart import NormalSide, account_id, subject
from hutong.ledger.accounting.day_cut import DayCutStep, advance_day_cut
from hutong.ledger.accounting.memo import wrong_totals
from hutong.ledger.accounting.postings import transfers_of
from hutong.ledger.accounting.standing_orders import add_standing_order, run_standing_orders
from hutong.ledger.accounts import open_accounts
from hutong.ledger.maintenance import Maintenance
from hutong.ledger.model import AccountFlags
from hutong.ledger.overdraft import set_overdraft_limit

T = CreateTransferStatus
START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)  # noon in Shanghai


@pytest.fixture
async def alone(fresh_database_url):
    async with Database.open(fresh_database_url, size=8) as opened:
        yield opened


@pytest.fixture
def clock():
    return ManualClock(START)


LEGS = {
    "payment": (EventCode.PAYMENT, "payment"),
    "fee": (EventCode.FEE, "fee"),
    "cost": (EventCode.CHANNEL_COST, "cost"),
    "surplus": (EventCode.SURPLUS, "surplus"),
    "surplus_refund": (EventCode.SURPLUS_REFUND, "out"),
    "refund_hold": (EventCode.REFUND, "merchant"),
    "payout_hold": (EventCode.PAYOUT, "hold"),
    "settlement": (EventCode.MERCHANT_SETTLEMENT, "settled"),
}


class Shop:
    """A merchant on one channel, booked by the table of events."""

    def __init__(self, database, clock):
        self.database, self.clock, self.ids = database, clock, Ids(clock)
        self.owners = {owner: self.ids.new() for owner in (O.MERCHANT, O.CHANNEL_ACCOUNT, O.BANK_ACCOUNT, O.PRODUCT)}
        self.owners[O.SENDING_ACCOUNT] = self.owners[O.CHANNEL_ACCOUNT]

    def account(self, code):
        return account_id(code, self.owners[subject(code).per], "CNY")

    async def open(self):
        openings = [(code, self.owners[entry.per], "CNY") for code, entry in ledger.CHART.items()
                    if entry.per in self.owners]  # fmt: skip
        await self.run(lambda tx: open_accounts(tx, openings, now=self.clock.now()))

    async def run(self, work):
        return await self.database.run(work)

    def chain(self, **amounts):
        postings = [ledger.Posting(*LEGS[name], amount, self.ids.new()) for name, amount in amounts.items()]
        return ledger.Chain(postings, self.owners, "CNY", self.ids.new())

    async def book(self, **amounts):
        chain = self.chain(**amounts)
        assert await self.run(lambda tx: ledger.book(tx, [chain], now=self.clock.now())) == [T.CREATED]
        return transfers_of(chain)[0]

    async def cut(self, **arguments):
        return await ledger.run_day_cut(self.database, now=self.clock.now(), **arguments)


@pytest.fixture
async def shop(alone, clock):
    opened = Shop(alone, clock)
    await opened.open()
    return opened


async def test_a_chain_links_its_legs_and_opens_their_accounts(shop):
    transfers, openings = transfers_of(shop.chain(payment=10_000, fee=60))
    assert [
        (t.debit_account_id, t.credit_account_id, t.amount, t.code, bool(t.flags & TransferFlags.LINKED))
        for t in transfers
    ] == [
        (shop.account(1101), shop.account(2001), 10_000, 1, True),
        (shop.account(2001), shop.account(4001), 60, 2, False),
    ]
    assert {code for code, _, _ in openings} == {1101, 2001, 4001}
    with pytest.raises(InvalidParameter):
        transfers_of(
            ledger.Chain([ledger.Posting(EventCode.SURPLUS, "surplus", 1, UUID(int=1))], {}, "CNY", UUID(int=2))
        )


async def test_a_chain_is_booked_once_and_a_refused_one_stops_the_transaction(shop):
    chain = shop.chain(payment=100)
    for _ in range(2):
        assert await shop.run(lambda tx: ledger.book(tx, [chain], now=shop.clock.now())) == [T.CREATED]
    holds = [shop.chain(refund_hold=60), shop.chain(refund_hold=60)]
    with pytest.raises(
        InvariantBroken, match=f"{UUID(int=transfers_of(holds[1])[0][0].id)} was refused: EXCEEDS_CREDITS"
    ):
        await shop.run(lambda tx: ledger.book(tx, holds, now=shop.clock.now()))
    refusable = {T.EXCEEDS_CREDITS}
    statuses = await shop.run(lambda tx: ledger.book(tx, holds, now=shop.clock.now(), refusable=refusable))
    assert statuses == [T.CREATED, T.EXCEEDS_CREDITS]


async def test_an_account_whose_opening_was_rolled_back_is_opened_again(shop, clock):
    accounts = set()
    owners = {O.MERCHANT: shop.ids.new(), O.CHANNEL_ACCOUNT: shop.ids.new()}

    def chain():
        posting = ledger.Posting(EventCode.PAYMENT, "payment", 5, shop.ids.new())
        return ledger.Chain([posting], owners, "CNY", shop.ids.new())

    with pytest.raises(RuntimeError):
        async with shop.database.transaction() as tx:
            await ledger.book(tx, [chain()], now=clock.now(), accounts=accounts)
            raise RuntimeError
    assert len(accounts) == 2
    for _ in range(2):
        booked = chain()
        assert await shop.run(lambda tx, c=booked: ledger.book(tx, [c], now=clock.now(), accounts=accounts)) == [
            T.CREATED
        ]
        assert accounts == set(transfers_of(booked)[1])


def test_codes_keep_their_meaning():
    """Codes lie in the journal for good: a change here is a change of what has been booked."""
    assert {event.code: event.name for event in ledger.EVENTS.values()} == {
        1: "payment", 2: "fee", 3: "surplus", 4: "refund", 5: "fee_return", 6: "funding_return", 7: "surplus_refund",
        8: "late_refund", 9: "funding", 10: "channel_cost", 11: "channel_settlement", 12: "merchant_settlement",
        13: "payout", 14: "merchant_discount", 15: "application_fee", 16: "refund_difference", 17: "dispute",
        18: "dispute_return", 19: "dispute_loss", 20: "dispute_fee", 30: "difference", 31: "difference_end",
        32: "write_off", 60: "standing_order", 61: "reversal", 70: "month_closing",
        71: "year_closing", 80: "manual_entry", 99: "manual",
    }  # fmt: skip
    assert set(ledger.EVENTS) == set(EventCode)
    pairs = {event.name: [(leg.debit, leg.credit) for leg in event.legs] for event in ledger.EVENTS.values()}
    assert pairs == {
        "payment": [(1101, 2001)], "fee": [(2001, 4001)], "surplus": [(1101, 2202)],
        "refund": [(2001, 2201), (2201, 1101), (2201, 1001)], "fee_return": [(4001, 2201)],
        "funding_return": [(2001, 5002), (2001, 1101)], "surplus_refund": [(2202, 1101), (2202, 1001)],
        "late_refund": [(2301, 1101)], "funding": [(5002, 2001), (1101, 2001)],
        "channel_cost": [(5001, 1101), (1101, 5001)],
        "channel_settlement": [(1001, 1101), (1101, 1001)], "merchant_settlement": [(2001, 2002)],
        "payout": [(2002, 2203), (2203, 1001)], "merchant_discount": [(2001, 1101), (2202, 1101)],
        "application_fee": [(2001, 1101), (2202, 1101)],
        "refund_difference": [(2201, 2001), (2301, 2201), (2301, 2202)],
        "dispute": [(1102, 1101), (2001, 2204)], "dispute_return": [(1101, 1102), (2204, 2001)],
        "dispute_loss": [(2204, 1102), (1102, 2204)], "dispute_fee": [(1102, 1101), (1101, 1102)],
        "difference": [(1101, 2301), (2301, 1101), (1001, 2301), (2301, 1001)],
        "difference_end": [(2301, 1101), (1101, 2301), (2301, 1001), (1001, 2301)],
        "write_off": [(2301, 4002), (5003, 2301), (5001, 2301), (2301, 5001)],
        "standing_order": [], "reversal": [], "month_closing": [],
        "year_closing": [], "manual_entry": [], "manual": [],
    }  # fmt: skip
    for event in ledger.EVENTS.values():
        assert event.name_en
        assert event.name_zh
        assert len({leg.name for leg in event.legs}) == len(event.legs)
        assert {code for leg in event.legs for code in (leg.debit, leg.credit)} <= ledger.CHART.keys()


async def test_the_books_balance_by_subject_and_by_class(shop):
    await shop.book(payment=10_000, fee=60, cost=38)
    await shop.book(refund_hold=500)
    lines = await shop.run(ledger.general_ledger)
    closing = {line.code: line.closing for line in lines}
    assert closing == {1101: 9_962, 2001: 9_940, 2201: 0, 4001: 60, 5001: 38}
    assert closing[1101] + closing[5001] == closing[2001] + closing[4001]
    groups = {line.code: line.closing for line in ledger.roll_up(lines) if line.code % 100 == 0}
    assert groups == {1000: 9_962, 1100: 9_962, 2000: 9_940, 2200: 0, 4000: 60, 5000: 38}
    assert groups[1000] + groups[5000] == groups[2000] + groups[4000]
    assert all(line.name_en and line.name_zh for line in ledger.roll_up(lines))


async def test_days_close_one_after_the_other_and_carry_their_balances(shop, clock):
    await shop.book(payment=100, fee=1)
    assert await shop.cut() == ledger.DayCut(date(2026, 2, 28), DayCutStep.FINISHED)  # nothing before the first day
    assert await shop.cut() is None  # 1 March is not over
    with pytest.raises(Conflict):
        await shop.cut(day=date(2026, 3, 1))
    clock.advance(timedelta(hours=13))  # one in the morning of 2 March in Shanghai
    early = await shop.book(payment=1_000)  # before anybody has closed the old day
    assert (await shop.cut()).step is DayCutStep.FINISHED
    await shop.book(payment=50)
    lines = await shop.run(lambda tx: ledger.general_ledger(tx, day=date(2026, 3, 1)))
    assert {(line.code, line.opening, line.closing) for line in lines} == {
        (1101, 0, 100), (2001, 0, 99), (4001, 0, 1),
    }  # fmt: skip
    clock.advance(timedelta(days=1))
    assert (await shop.cut()).day == date(2026, 3, 2)
    lines = await shop.run(lambda tx: ledger.general_ledger(tx, day=date(2026, 3, 2)))
    assert {(line.code, line.opening, line.closing) for line in lines} == {
        (1101, 100, 1_150), (2001, 99, 1_149), (4001, 1, 1),
    }  # fmt: skip
    async with shop.database.transaction() as tx:
        rows = await tx.fetch("SELECT accounting_date FROM ledger.transfer WHERE id = $1", f"{early[0].id:032x}")
    assert [row[0] for row in rows] == [date(2026, 3, 2)]


async def test_the_cut_waits_for_transactions_begun_before_it_and_late_ones_go_to_the_next_day(shop, clock):
    await shop.cut()
    slow = await shop.database.pool.acquire()
    transaction = slow.transaction()
    await transaction.start()
    await ledger.Ledger(slow, clock=clock.now_ns).create_transfers(transfers_of(shop.chain(surplus=7))[0])
    clock.advance(timedelta(days=1))
    cut = await shop.cut()
    assert (cut.step, cut.waiting) == (DayCutStep.SWITCHED, True)
    other = Transfer(ledger.id(), shop.account(5001), shop.account(4001), 9, ledger=156, code=9)
    await shop.run(lambda tx: ledger.Ledger(tx, clock=clock.now_ns).create_transfers([other]))  # is not held up
    await transaction.commit()
    await shop.database.pool.release(slow)
    assert (await shop.cut()).step is DayCutStep.FINISHED
    lines = await shop.run(lambda tx: ledger.general_ledger(tx, day=date(2026, 3, 1)))
    assert {line.code: line.closing for line in lines} == {1101: 7, 2202: 7}


async def test_the_cut_refuses_a_day_that_leaves_an_account_below_zero_and_goes_on_when_it_is_covered(shop, clock):
    await shop.cut()
    change = {"by": "ops", "reason": "until tonight", "now": clock.now()}
    await shop.run(lambda tx: set_overdraft_limit(tx, shop.account(2002), 100, **change))
    await shop.book(payout_hold=80)
    await shop.run(
        lambda tx: ledger.Ledger(tx, clock=clock.now_ns).create_transfers(
            [Transfer(ledger.id(), shop.account(2002), shop.account(1001), 5, ledger=156, code=9)]
        )
    )
    clock.advance(timedelta(days=1))
    cut = await shop.cut()
    assert cut.step is DayCutStep.DRAINED
    assert "below zero" in cut.problem
    assert cut.problem.replace("-", "").startswith(f"account {shop.account(2002):032x}")
    assert (await shop.cut()).problem == cut.problem
    async with shop.database.transaction() as tx:
        await tx.execute("SET ROLE NONE")
        # What an operator would do by a booking into the old day is done here by hand.
        await tx.execute("UPDATE ledger.account SET flags = 8 WHERE id = $1", f"{shop.account(2002):032x}")
    assert (await shop.cut()).step is DayCutStep.FINISHED


async def test_each_step_of_the_cut_may_be_broken_off_and_begun_again(shop, clock):
    await shop.cut()
    await shop.book(payment=100)
    clock.advance(timedelta(days=1))
    steps = []
    while DayCutStep.FINISHED not in steps:
        for commit in (False, True):
            async with shop.database.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                cut = await advance_day_cut(connection, now=clock.now())
                await (transaction.commit() if commit else transaction.rollback())
        steps.append(cut.step)
    assert [step.value for step in steps] == ["switched", "switched", "drained", "balanced", "finished"]


async def test_a_statement_closes_on_its_balance(shop, clock):
    await shop.book(payment=100)
    clock.advance(timedelta(hours=1))
    since = clock.now()
    await shop.book(payment=30, fee=2)
    await shop.book(refund_hold=20)  # a hold is no booking
    clock.advance(timedelta(hours=1))
    until = clock.now()
    await shop.book(settlement=50)
    account = shop.account(2001)
    found = await shop.run(lambda tx: ledger.statement(tx, account, since=since, until=until))
    assert (found.opening, found.closing) == (100, 128)
    assert [(line.debit, line.credit, line.balance) for line in found.lines] == [(0, 30, 130), (2, 0, 128)]
    assert [(line.event, line.event_en, line.event_zh) for line in found.lines] == [
        (1, "payment", "收款"), (2, "merchant fee", "手续费"),
    ]  # fmt: skip
    empty = await shop.run(lambda tx: ledger.statement(tx, account, since=START - timedelta(9), until=START))
    assert (empty.opening, empty.closing, empty.lines) == (0, 0, [])
    text = export.to_csv(found.lines)
    assert text.splitlines()[0].startswith("id,timestamp,accounting_date")
    assert len(text.splitlines()) == 3
    with pytest.raises(NotFound):
        await shop.run(lambda tx: ledger.statement(tx, 5, since=since, until=until))


async def reversed_by(shop, *ids):
    return await shop.run(
        lambda tx: ledger.reverse(tx, ids, reason="wrong amount", by="ops", new_id=shop.ids.new, now=shop.clock.now())
    )


async def test_a_transfer_is_reversed_once_however_many_ask(shop):
    (first, fee) = await shop.book(payment=100, fee=3)
    (held,) = await shop.book(refund_hold=10)
    results = await asyncio.gather(*(reversed_by(shop, fee.id) for _ in range(8)))
    counted = sorted(result[0].status.value for result in results)
    assert counted == ["already_reversed"] * 7 + ["reversed"]
    answers = await reversed_by(shop, held.id, 12345, first.id)
    assert [answer.status.value for answer in answers] == ["not_booked", "not_found", "refused"]
    assert answers[2].refusal is T.EXCEEDS_CREDITS  # ten are held
    lines = await shop.run(ledger.general_ledger)
    assert {line.code: line.closing for line in lines} == {1101: 100, 2001: 100, 2201: 0, 4001: 0}


async def test_a_standing_order_moves_the_free_balance_and_no_more(shop, clock):
    await shop.book(payment=100)
    await shop.book(refund_hold=30)
    order = {"from_account_id": shop.account(2001), "to_account_id": shop.account(2003), "every": timedelta(hours=1)}
    await shop.run(
        lambda tx: add_standing_order(tx, shop.ids.new(), most_minor=50, first_at=clock.now(), by="ops", **order)
    )

    async def run():
        return await shop.run(lambda tx: run_standing_orders(tx, now=clock.now(), new_id=shop.ids.new))

    assert await run() == 1
    assert await run() == 0
    clock.advance(timedelta(hours=1))
    assert await run() == 1
    async with shop.database.transaction() as tx:
        runs = await tx.fetch("SELECT amount_minor, status FROM ledger.sweep_run ORDER BY ran_at")
    assert [tuple(row) for row in runs] == [(50, 0), (20, 0)]


async def test_a_memo_total_moves_with_its_entries_and_each_entry_counts_once(shop, clock):
    owner, other = shop.ids.new(), shop.ids.new()
    points = [ledger.Memo("points", owner, f"order {n}", 10 * n) for n in (1, 2)]
    enter = ledger.enter_memos

    async def run(*memos):
        return [status.value for status in await shop.run(lambda tx: enter(tx, memos, now=clock.now()))]

    assert await run(*points, points[0], ledger.Memo("points", other, "order 1", -4)) == [
        "entered", "entered", "exists", "entered",
    ]  # fmt: skip
    assert await run(ledger.Memo("points", owner, "order 1", 11)) == ["exists_with_different_amount"]
    many = [[ledger.Memo("points", owner, f"n {n}", 1)] for n in range(20)]
    await asyncio.gather(*(run(*memos) for memos in many))
    async with shop.database.transaction() as tx:
        assert await tx.fetchval("SELECT total FROM ledger.memo_total WHERE owner = $1", owner) == 50
        assert await wrong_totals(tx) == []
        await tx.execute("UPDATE ledger.memo_total SET total = total + 1 WHERE owner = $1", other)
        assert [row["owner"] for row in await wrong_totals(tx)] == [other]
        assert (await ledger.check_invariants(tx, now=clock.now())).problems != []


async def test_money_in_transit_is_listed_with_its_age(shop, clock):
    await shop.book(surplus=40)
    await shop.book(surplus_refund=40)
    clock.advance(timedelta(hours=1))
    await shop.book(surplus=5)
    clock.advance(timedelta(hours=3))
    findings = await shop.run(lambda tx: ledger.check_invariants(tx, now=clock.now()))
    assert findings.problems == []
    found = {(item.code, item.balance, round(item.age.total_seconds())) for item in findings.uncleared}
    assert found == {(1101, 5, 3 * 3600), (2202, -5, 3 * 3600)}


async def test_the_application_cannot_rewrite_memos(shop, clock):
    memo = ledger.Memo("points", shop.ids.new(), "x", 1)
    await shop.run(lambda tx: ledger.enter_memos(tx, [memo], now=clock.now()))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await shop.run(lambda tx: tx.execute("UPDATE ledger.memo_entry SET amount = 2"))


def test_the_chart_names_every_subject_in_both_languages():
    for entry in ledger.CHART.values():
        assert entry.name_en
        assert entry.name_zh
        assert entry.parent % 100 == 0
        assert entry.code // 1000 == entry.parent // 1000
    assert subject(2001).normal_side is NormalSide.CREDIT
    assert subject(2002).flags & AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
    assert Account(id=1).flags == 0


async def test_maintenance_does_everything_that_is_due_and_nothing_twice(shop, clock):
    await shop.book(payment=100)
    held = [Transfer(ledger.id(), shop.account(2001), shop.account(2201), 5, ledger=156, code=4, timeout=60,
                     flags=TransferFlags.PENDING)]  # fmt: skip
    await shop.run(lambda tx: ledger.Ledger(tx, clock=clock.now_ns).create_transfers(held))
    clock.advance(timedelta(minutes=2))

    async def maintain():
        return await ledger.maintain(shop.database, now=clock.now(), new_id=shop.ids.new)

    done = await maintain()
    assert len(done.partitions) == 3
    assert (done.expired, done.sealed, done.orders) == (1, 3, 0)
    assert done.day.step is DayCutStep.FINISHED
    assert await maintain() == Maintenance([], 0, 0, 0, None)
    assert (await shop.run(ledger.verify)).problems == []


def test_codes_booked_by_an_earlier_version_are_those_of_the_table():
    """An account's id begins with its code, so each row of an old journal shows the legs of its event."""
    dump = gzip.decompress((Path(__file__).parents[1] / "db" / "before_the_move.sql.gz").read_bytes()).decode()
    booked = set()
    for columns, rows in re.findall(
        r"^COPY ledger\.transfer_\w+ \((.*?)\) FROM stdin;\n(.*?)^\\\.$", dump, re.M | re.S
    ):
        names = [name.strip('"') for name in columns.split(", ")]
        for row in rows.splitlines():
            transfer = dict(zip(names, row.split("\t"), strict=True))
            sides = (int(transfer[f"{side}_account_id"][:4], 16) for side in ("debit", "credit"))
            booked.add((int(transfer["code"]), *sides))
    legs = {(event.code, leg.debit, leg.credit) for event in ledger.EVENTS.values() for leg in event.legs}
    assert booked - legs == set()
    assert {code for code, _, _ in booked} >= {1, 2, 3, 4, 5, 6, 7, 9}
