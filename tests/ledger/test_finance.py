"""The books for finance: lists, manual entries, closings of accounts, standing orders, memos, the chart."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong import bookkeeping, export, ledger, operators
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.ledger import finance, partitions, reports
from hutong.ledger.accounting.standing_orders import next_run, run_standing_orders
from hutong.ledger.accounts import open_accounts
from hutong.ledger.finance.entries import EntryLine, Side, _pairs
from hutong.ledger.model import TransferFlags
from hutong.operators.errors import NotPermitted
from support.fixtures.finance import OWNER, Books

START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)  # noon in Shanghai
OTHER = UUID(int=8)
LIMITS = {"CNY": 1_000}


@pytest.fixture
async def books(fresh_database_url: str) -> AsyncIterator[Books]:
    async with Database.open(fresh_database_url, size=8) as opened:
        yield Books(opened, ManualClock(START))


async def refused(books: Books, error: type[Exception], says: str, work) -> None:
    """The work is refused with a reason, and nothing is written."""
    before = await books.written()
    with pytest.raises(error, match=says):
        await books.run(work)
    assert await books.written() == before


async def decide(books: Books, proposal: operators.Proposal, checker: bookkeeping.Person) -> operators.Proposal:
    decision = operators.ApprovalDecision(proposal.proposal_id, checker.operator.operator_id, approve=True, reason="ok")
    return await books.run(
        lambda tx: operators.conclude(tx, decision, bookkeeping.APPROVAL_HANDLERS, now=books.clock.now())
    )


# Accounts


async def test_accounts_are_found_by_owner_name_currency_flags_and_state(books: Books) -> None:
    mine = await books.account(2001)
    other = await books.account(2001, OTHER)
    dollars = await books.account(2001, OWNER, "USD")
    channel = await books.account(1101)

    async def found(**query) -> list[UUID]:
        rows = await books.run(lambda tx: finance.list_accounts(tx, finance.AccountQuery(**query)))
        return [row.account_id for row in rows]

    assert await found() == [mine, other, dollars, channel]
    assert await found(owner=OWNER) == [mine, dollars, channel]
    assert await found(owner=OWNER, currency="CNY") == [mine, channel]
    assert await found(name="待结算") == [mine, other, dollars]
    assert await found(name="RECEIVABLE") == [channel]
    assert await found(name="receivable", code=2001) == []
    assert await found(flags=("debits_must_not_exceed_credits",), currency="USD") == [dollars]
    assert await found(flags=("history",), limit=2) == [mine, other]
    assert await found(closed=True) == []
    await books.run(lambda tx: finance.close_account(tx, other, by="x", reason="gone", now=books.clock.now()))
    assert await found(closed=True) == [other]
    assert await found(closed=False) == [mine, dollars, channel]
    await books.book(channel, mine, 1_999)
    row = (await books.run(lambda tx: finance.list_accounts(tx, finance.AccountQuery(code=2001))))[0]
    assert (row.balance_minor, row.balance, row.currency, row.opened_at) == (1_999, "19.99", "CNY", START)
    with pytest.raises(InvalidParameter, match="no flag"):
        await found(flags=("round",))


async def test_more_accounts_than_a_query_of_the_engine_returns_are_all_listed(books: Books) -> None:
    owners = [UUID(int=1_000 + number) for number in range(9_000)]
    await books.run(lambda tx: open_accounts(tx, [(2001, owner, "CNY") for owner in owners], now=books.clock.now()))
    listed: list[UUID] = []
    after = 0
    while page := await books.run(
        lambda tx: finance.list_accounts(tx, finance.AccountQuery(after=after, limit=4_000))  # noqa: B023
    ):
        listed += [row.owner for row in page]
        after = page[-1].cursor
    assert sorted(listed) == owners


async def test_an_account_is_closed_when_it_is_empty_and_reopened(books: Books) -> None:
    person = await books.person()
    channel, merchant = await books.account(1101), await books.account(2001)
    now = books.clock.now

    def close(tx):
        return bookkeeping.close_account(tx, person, merchant, now=now())

    first = await books.book(channel, merchant, 100)
    await refused(books, Conflict, "balance of 100", close)
    await books.run(lambda tx: ledger.reverse(tx, [first.int], reason="x", by="x", new_id=books.ids.new, now=now()))
    hold = await books.book(channel, merchant, 5, flags=TransferFlags.PENDING)
    await refused(books, Conflict, "open holds", close)
    await books.book(channel, merchant, 0, flags=TransferFlags.VOID_PENDING_TRANSFER, pending_id=hold.int)
    order = books.ids.new()
    await books.run(
        lambda tx: finance.add_standing_order(
            tx, order, from_account_id=merchant.int, to_account_id=channel.int, most_minor=1,
            every=timedelta(days=1), first_at=now(), by="x",
        )
    )  # fmt: skip
    await refused(books, Conflict, "standing order", close)
    await books.run(lambda tx: finance.stop_standing_order(tx, order, by="x", reason="x", now=now()))
    assert (await books.run(close)).closed
    await refused(books, Conflict, "closed already", close)
    transfer = ledger.Transfer(
        id=books.ids.new().int, debit_account_id=channel.int, credit_account_id=merchant.int, amount=1, ledger=156,
        code=99,
    )  # fmt: skip
    (answer,) = await books.run(lambda tx: ledger.Ledger(tx, clock=books.clock.now_ns).create_transfers([transfer]))
    assert answer.status is ledger.CreateTransferStatus.CREDIT_ACCOUNT_ALREADY_CLOSED
    opened = await books.run(lambda tx: bookkeeping.reopen_account(tx, person, merchant, now=now()))
    assert not opened.closed
    await books.book(channel, merchant, 1)
    await refused(books, Conflict, "not closed", lambda tx: bookkeeping.reopen_account(tx, person, merchant, now=now()))
    await refused(books, NotFound, "no account", lambda tx: bookkeeping.close_account(tx, person, uuid4(), now=now()))
    journal = await books.run(lambda tx: operators.list_audit(tx, about=("account", str(merchant))))
    assert [record.entry.action for record in journal] == ["ledger.reopen_account", "ledger.close_account"]


async def test_an_account_is_never_closed_with_a_balance_by_concurrent_bookings(books: Books) -> None:
    person, now = await books.person(), books.clock.now
    bank = await books.account(1001)
    for number in range(12):
        account = await books.account(2001, UUID(int=100 + number))
        transfer = ledger.Transfer(
            id=books.ids.new().int, debit_account_id=bank.int, credit_account_id=account.int, amount=5, ledger=156,
            code=99,
        )  # fmt: skip

        async def book() -> str:
            (result,) = await books.run(
                lambda tx: ledger.Ledger(tx, clock=books.clock.now_ns).create_transfers([transfer])  # noqa: B023
            )
            return result.status.name

        async def close() -> str:
            try:
                await books.run(lambda tx: bookkeeping.close_account(tx, person, account, now=now()))  # noqa: B023
            except Conflict as error:
                return error.detail
            return "closed"

        outcome = tuple(await asyncio.gather(*((book(), close()) if number % 2 else (close(), book()))))
        assert outcome[:: 1 if number % 2 else -1] in {
            ("CREATED", "the account has a balance of 5 in minor units"),
            ("CREDIT_ACCOUNT_ALREADY_CLOSED", "closed"),
        }


async def test_two_approvals_of_the_same_reversal_book_it_once(books: Books) -> None:
    maker = await books.person()
    checkers = [await books.person(operators.Role.APPROVER) for _ in range(4)]
    channel, merchant = await books.account(1101), await books.account(2001)
    transfer = await books.book(channel, merchant, 5_000)
    proposals = [
        await books.run(
            lambda tx: bookkeeping.reverse(
                tx, maker, transfer, limits=LIMITS, new_id=books.ids.new, now=books.clock.now()
            )
        )
        for _ in checkers
    ]

    async def approve(proposal, checker) -> str:
        try:
            return str((await decide(books, proposal, checker)).state)
        except Conflict as error:
            return error.detail

    answers = await asyncio.gather(*map(approve, proposals, checkers))
    assert sorted(answers) == ["approved", *["the transfer is reversed already"] * 3]
    assert await books.balance(merchant) == 0


async def test_an_account_that_a_transfer_closed_is_reopened_by_voiding_that_transfer(books: Books) -> None:
    one, two = await books.account(1101), await books.account(1101, OTHER)
    await books.book(one, two, 0, flags=TransferFlags.PENDING | TransferFlags.CLOSING_DEBIT)

    async def reopen(tx):
        return await finance.reopen_account(tx, one, by="x", reason="x", now=books.clock.now())

    await refused(books, Conflict, "void that transfer", reopen)


async def test_overdraft_limits_have_a_history(books: Books) -> None:
    person = await books.person(reason="contract 12")
    merchant, channel = await books.account(2001), await books.account(1101)
    for limit in (500, 0):
        await books.run(
            lambda tx: bookkeeping.set_overdraft_limit(tx, person, merchant, limit, now=books.clock.now())  # noqa: B023
        )
    changes = await books.run(lambda tx: finance.list_overdrafts(tx, merchant))
    assert [(c.old_limit_minor, c.new_limit_minor, c.reason, c.changed_by) for c in changes] == [
        (500, 0, "contract 12", person.by),
        (0, 500, "contract 12", person.by),
    ]
    for account, limit, error in (
        (channel, 1, InvalidParameter),
        (uuid4(), 1, NotFound),
        (merchant, -1, InvalidParameter),
    ):
        await refused(
            books, error, "account|amount",
            lambda tx: bookkeeping.set_overdraft_limit(tx, person, account, limit, now=books.clock.now()),  # noqa: B023
        )  # fmt: skip


# The chart


async def test_a_subject_is_added_once_with_its_parent_and_names(books: Books) -> None:
    person = await books.person()

    def add(**changed):
        values = {"code": 5101, "parent": 5100, "name_en": "bank charges", "name_zh": "银行手续费",
                  "per": ledger.AccountOwner.COMPANY, "covered": False} | changed  # fmt: skip
        return lambda tx: bookkeeping.add_subject(tx, person, now=books.clock.now(), **values)

    await books.run(add())
    subject = (await books.run(finance.list_subjects))[5101]
    assert (subject.parent, subject.klass.value, subject.normal_side.value) == (5100, "expense", "debit")
    for changed, error, says in (
        ({}, Conflict, "already"),
        ({"code": 5102}, Conflict, "this name already"),
        ({"code": 5102, "name_en": "BANK CHARGES", "name_zh": "费"}, Conflict, "this name already"),
        ({"code": 4001, "parent": 4000}, Conflict, "fee income"),
        ({"code": 5102, "name_en": "fee income"}, Conflict, "4001 has this name"),
        ({"code": 5102, "parent": 4000, "name_en": "x", "name_zh": "y"}, InvalidParameter, "parent of 5102 is 5100"),
        ({"code": 5100}, InvalidParameter, "not end with 00"),
        ({"code": 6101}, InvalidParameter, "begin with 1 to 5"),
        ({"code": 5102, "name_en": " "}, InvalidParameter, "name_en"),
    ):
        await refused(books, error, says, add(**changed))
    account = await books.run(
        lambda tx: bookkeeping.open_account(tx, person, code=5101, owner=None, currency="CNY", now=books.clock.now())
    )
    assert (account.name_zh, account.owner) == ("银行手续费", UUID(int=1))
    await refused(
        books, InvalidParameter, "no code 5199",
        lambda tx: bookkeeping.open_account(tx, person, code=5199, owner=None, currency="CNY", now=books.clock.now()),
    )  # fmt: skip
    await refused(
        books, InvalidParameter, "needs the owner",
        lambda tx: bookkeeping.open_account(tx, person, code=2001, owner=None, currency="CNY", now=books.clock.now()),
    )  # fmt: skip
    await books.book(account.account_id, await books.account(1101), 70)
    line = next(line for line in await books.run(ledger.general_ledger) if line.code == 5101)
    assert (line.closing, line.name_en, line.name_zh) == (70, "bank charges", "银行手续费")


# Reversals and bookings


async def test_a_reversal_above_the_limit_takes_a_second_person(books: Books) -> None:
    maker, checker = await books.person(), await books.person(operators.Role.APPROVER)
    channel, merchant = await books.account(1101), await books.account(2001)
    small, large = await books.book(channel, merchant, 1_000), await books.book(channel, merchant, 1_001)

    def reverse(transfer_id, limits=LIMITS):
        return lambda tx: bookkeeping.reverse(
            tx, maker, transfer_id, limits=limits, new_id=books.ids.new, now=books.clock.now()
        )

    done = await books.run(reverse(small))
    assert isinstance(done, bookkeeping.Reversed)
    assert await books.balance(merchant) == -1_001
    again = await books.run(reverse(small))
    assert again == bookkeeping.Reversed(small, done.reversal_id, already=True)
    books.clock.advance(timedelta(seconds=1))
    proposal = await books.run(reverse(large))
    assert isinstance(proposal, operators.Proposal)
    second = await books.run(reverse(large))
    assert await books.balance(merchant) == -1_001
    await decide(books, proposal, checker)
    assert await books.balance(merchant) == 0
    await refused(books, Conflict, "a reversal", reverse(done.reversal_id))
    await refused(books, NotFound, "no transfer", reverse(uuid4()))
    with pytest.raises(Conflict, match="reversed already"):
        await decide(books, second, checker)
    first = await books.run(lambda tx: reports.list_reversals(tx, limit=1))
    rest = await books.run(lambda tx: reports.list_reversals(tx, before=first[0].reversal_id))
    assert [row.transfer_id for row in [*first, *rest]] == [large, small]
    listed = await books.run(reports.list_reversals)
    assert [(row.transfer_id, row.reason, row.reversed_by) for row in listed] == [
        (large, "agreed", f"{maker.by}, approved by {checker.by}"),
        (small, "agreed", maker.by),
    ]
    hold = await books.book(channel, merchant, 3, flags=TransferFlags.PENDING)
    await refused(books, Conflict, "not booked", reverse(hold))
    viewer = await books.person(operators.Role.VIEWER)
    await refused(
        books, NotPermitted, "operator",
        lambda tx: bookkeeping.reverse(tx, viewer, large, limits={}, new_id=books.ids.new, now=books.clock.now()),
    )  # fmt: skip


async def test_a_currency_without_a_limit_always_takes_a_second_person(books: Books) -> None:
    maker = await books.person()
    one, two = await books.account(1101, OWNER, "USD"), await books.account(1101, OTHER, "USD")
    transfer = await books.book(one, two, 1, ledger=840)
    proposal = await books.run(
        lambda tx: bookkeeping.reverse(tx, maker, transfer, limits=LIMITS, new_id=books.ids.new, now=books.clock.now())
    )
    assert isinstance(proposal, operators.Proposal)


async def test_a_transfer_by_hand_is_in_the_audit_journal_and_takes_two_above_the_limit(books: Books) -> None:
    maker, checker = await books.person(reason="interest"), await books.person(operators.Role.APPROVER)
    channel, merchant = await books.account(1101), await books.account(2001)
    dollars = await books.account(1101, OWNER, "USD")

    def book(transfer_id, amount, debit=channel, credit=merchant):
        booking = bookkeeping.Booking(transfer_id, debit, credit, amount)
        return lambda tx: bookkeeping.book_by_hand(
            tx, maker, booking, limits=LIMITS, new_id=books.ids.new, now=books.clock.now()
        )

    small, large = books.ids.new(), books.ids.new()
    assert await books.run(book(small, 1_000)) == bookkeeping.Booked(small, already=False)
    assert await books.run(book(small, 1_000)) == bookkeeping.Booked(small, already=True)
    (record,) = await books.run(lambda tx: operators.list_audit(tx, about=("transfer", str(small))))
    assert (record.entry.action, record.entry.actor_id, record.entry.reason) == (
        "ledger.book", maker.operator.operator_id, "interest",
    )  # fmt: skip
    proposal = await books.run(book(large, 1_001))
    assert await books.balance(channel) == 1_000
    await decide(books, proposal, checker)
    assert await books.balance(channel) == 2_001
    for work, error, says in (
        (book(uuid4(), 5, channel, channel), InvalidParameter, "two different accounts"),
        (book(uuid4(), 5, channel, dollars), InvalidParameter, "CNY, the other USD"),
        (book(uuid4(), 5, uuid4(), merchant), NotFound, "no account"),
        (book(uuid4(), 0), InvalidParameter, "from 1"),
        (book(small, 999), Conflict, "exists with different amount"),
    ):
        await refused(books, error, says, work)


# Manual entries


@pytest.mark.parametrize("code", [61, 70, 71])
async def test_a_transfer_by_hand_never_has_the_code_of_a_reversal_or_closing(books: Books, code: int) -> None:
    maker = await books.person()
    one, two = await books.account(1101), await books.account(2001)
    booking = bookkeeping.Booking(books.ids.new(), one, two, 5, code)
    await refused(books, InvalidParameter, f"the code {code} belongs to", lambda tx: bookkeeping.book_by_hand(
        tx, maker, booking, limits=LIMITS, new_id=books.ids.new, now=books.clock.now()))  # fmt: skip
    assert (await books.run(ledger.verify)).problems == []


async def test_a_manual_entry_takes_two_persons_and_its_own_code(books: Books) -> None:
    maker, checker = await books.person(), await books.person(operators.Role.APPROVER)
    bank, channel, fee = await books.account(1001), await books.account(1101), await books.account(4001)
    euro, euro_fee = await books.account(1001, OWNER, "EUR"), await books.account(4001, OWNER, "EUR")
    lines = [
        EntryLine(bank, Side.DEBIT, 700, "CNY"), EntryLine(channel, Side.DEBIT, 300, "CNY"),
        EntryLine(fee, Side.CREDIT, 1_000, "CNY"), EntryLine(euro, Side.DEBIT, 5, "EUR"),
        EntryLine(euro_fee, Side.CREDIT, 5, "EUR"),
    ]  # fmt: skip

    def propose(lines):
        return lambda tx: bookkeeping.propose_entry(
            tx, maker, lines, reference=None, new_id=books.ids.new, now=books.clock.now()
        )

    proposal = await books.run(propose(lines))
    assert await books.balance(bank) == 0
    with pytest.raises(NotPermitted):
        await decide(books, proposal, maker)
    await decide(books, proposal, checker)
    assert [await books.balance(one) for one in (bank, channel, fee, euro, euro_fee)] == [700, 300, -1_000, 5, -5]
    query = reports.TransferQuery(reference=proposal.proposal_id)
    rows = await books.run(lambda tx: reports.list_transfers(tx, query))
    assert [(row.event, row.event_en, row.amount_minor, row.amount) for row in rows] == [
        (80, "manual entry", 700, "7.00"), (80, "manual entry", 300, "3.00"), (80, "manual entry", 5, "0.05"),
    ]  # fmt: skip
    journal = await books.run(lambda tx: operators.list_audit(tx, limit=2))
    assert [record.entry.action for record in journal] == ["proposal.approve", "proposal.propose"]


async def test_an_entry_that_cannot_be_booked_is_refused_with_its_line(books: Books) -> None:
    maker, checker = await books.person(), await books.person(operators.Role.APPROVER)
    bank, merchant, fee = await books.account(1001), await books.account(2001), await books.account(4001)

    def line(account, side, amount=10, currency="CNY"):
        return EntryLine(account, side, amount, currency)

    def propose(*lines):
        return lambda tx: bookkeeping.propose_entry(
            tx, maker, lines, reference=None, new_id=books.ids.new, now=books.clock.now()
        )

    good = line(bank, Side.DEBIT)
    unknown = uuid4()
    for lines, says, param in (
        ((good, line(fee, Side.CREDIT, 9)), "in CNY, the debits exceed the credits by 1", "lines"),
        ((good, line(fee, Side.CREDIT, 12)), "in CNY, the credits exceed the debits by 2", "lines"),
        ((good, line(unknown, Side.CREDIT)), f"no account has the id {unknown}", "lines[1].account_id"),
        ((good, line(fee, Side.CREDIT, 10, "USD")), "does not keep USD", "lines[1].currency"),
        ((good, line(fee, Side.CREDIT, 10, "XXX")), "currency is not", "currency"),
        ((good, line(bank, Side.CREDIT)), "both sides", "lines[1].account_id"),
        ((good,), "2 to 200 lines", "lines"),
        ((good, line(fee, Side.CREDIT, 0)), "from 1", "lines[1].amount_minor"),
        ((good, line(fee, Side.CREDIT, 2**63)), "from 1", "lines[1].amount_minor"),
    ):
        before = await books.written()
        with pytest.raises(InvalidParameter, match=says) as caught:
            await books.run(propose(*lines))
        assert caught.value.param == param
        assert await books.written() == before
    await books.run(lambda tx: finance.close_account(tx, fee, by="x", reason="x", now=books.clock.now()))
    await refused(books, InvalidParameter, "is closed", propose(good, line(fee, Side.CREDIT)))
    # Good when it was proposed, and no more when it is approved: it stays open and writes nothing.
    proposal = await books.run(propose(line(merchant, Side.DEBIT), line(bank, Side.CREDIT)))
    before = await books.written()
    with pytest.raises(Conflict, match="exceeds credits"):
        await decide(books, proposal, checker)
    assert await books.written() == before
    assert (
        await books.run(lambda tx: operators.find_proposal(tx, proposal.proposal_id, now=books.clock.now()))
    ).state == "open"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 50)), min_size=1, max_size=12), st.randoms())
@settings(max_examples=200, deadline=None)
def test_pairs_of_an_entry_move_what_its_lines_say(debits: list[tuple[int, int]], rng: random.Random) -> None:
    left = sum(amount for _, amount in debits)
    lines = [EntryLine(UUID(int=number + 1), Side.DEBIT, amount, "CNY") for number, amount in debits]
    while left:
        amount = rng.randint(1, left)
        lines.append(EntryLine(UUID(int=rng.randint(11, 14)), Side.CREDIT, amount, "CNY"))
        left -= amount
    rng.shuffle(lines)
    moved: dict[UUID, int] = defaultdict(int)
    pairs = list(_pairs(lines))
    for debit, credit, amount, _ in pairs:
        assert amount > 0
        moved[debit] += amount
        moved[credit] -= amount
    wanted: dict[UUID, int] = defaultdict(int)
    for line in lines:
        wanted[line.account_id] += line.amount_minor if line.side is Side.DEBIT else -line.amount_minor
    assert moved == wanted
    assert len(pairs) < len(lines)


# Transfers and holds


async def test_transfers_are_found_by_reference_code_amount_currency_and_date(books: Books) -> None:
    channel, merchant = await books.account(1101), await books.account(2001)
    reference = uuid4()
    one = await books.book(channel, merchant, 5, user_data_128=reference.int, code=1)
    two = await books.book(channel, merchant, 6, user_data_128=reference.int, code=4, flags=TransferFlags.PENDING)
    await books.end_day()
    three = await books.book(channel, merchant, 5)
    failed = ledger.Transfer(
        id=books.ids.new().int, debit_account_id=merchant.int, credit_account_id=channel.int, amount=5_000, ledger=156,
        code=99,
    )  # fmt: skip
    (answer,) = await books.run(lambda tx: ledger.Ledger(tx, clock=books.clock.now_ns).create_transfers([failed]))
    assert answer.status is ledger.CreateTransferStatus.EXCEEDS_CREDITS
    with pytest.raises(NotFound):
        await books.run(lambda tx: reports.find_transfer(tx, UUID(int=failed.id)))

    async def found(**query) -> list[UUID]:
        rows = await books.run(lambda tx: reports.list_transfers(tx, reports.TransferQuery(**query)))
        return [row.transfer_id for row in rows]

    assert await found() == [one, two, three]
    assert await found(reference=reference) == [one, two]
    assert await found(reference=reference, code=4) == [two]
    assert await found(amount_minor=5) == [one, three]
    assert await found(currency="USD") == []
    assert await found(since=date(2026, 3, 2)) == [three]
    assert await found(until=date(2026, 3, 1), amount_minor=5) == [one]
    first = (await books.run(lambda tx: reports.list_transfers(tx, reports.TransferQuery(limit=1))))[0]
    assert await found(after=first.cursor) == [two, three]
    assert (first.kind, first.event_en, first.at) == ("booked", "payment", START)


async def test_open_holds_are_listed_with_their_ends(books: Books) -> None:
    channel, merchant = await books.account(1101), await books.account(2001)
    other = await books.account(2001, OTHER)
    ended = await books.book(channel, merchant, 5, flags=TransferFlags.PENDING, timeout=60)
    books.clock.advance(timedelta(seconds=1))
    endless = await books.book(channel, other, 6, flags=TransferFlags.PENDING)
    resolved = await books.book(channel, merchant, 7, flags=TransferFlags.PENDING)
    await books.book(channel, merchant, 7, flags=TransferFlags.POST_PENDING_TRANSFER, pending_id=resolved.int)
    holds = await books.run(reports.list_holds)
    assert [(hold.hold_id, hold.amount, hold.expires_at) for hold in holds] == [
        (ended, "0.05", START + timedelta(seconds=60)), (endless, "0.06", None),
    ]  # fmt: skip
    assert [h.hold_id for h in await books.run(lambda tx: reports.list_holds(tx, account_id=other))] == [endless]
    assert [h.hold_id for h in await books.run(lambda tx: reports.list_holds(tx, after=ended))] == [endless]


# Standing orders


async def test_orders_between_two_currencies_and_other_wrong_ones_are_refused_at_once(books: Books) -> None:
    person = await books.person()
    one, two = await books.account(1101), await books.account(1101, OTHER)
    dollars = await books.account(1101, OWNER, "USD")

    def add(debit, credit, most=5, every=timedelta(hours=1)):
        return lambda tx: bookkeeping.add_standing_order(
            tx, person, books.ids.new(), from_account_id=debit, to_account_id=credit, most_minor=most, every=every,
            first_at=books.clock.now(), now=books.clock.now(),
        )  # fmt: skip

    for work, error, says in (
        (add(one, dollars), InvalidParameter, "different currencies"),
        (add(one, one), InvalidParameter, "two different accounts"),
        (add(one, uuid4()), InvalidParameter, "no account"),
        (add(one, two, most=2**63), InvalidParameter, "most_minor"),
        (add(one, two, every=timedelta(seconds=59)), InvalidParameter, "interval"),
    ):
        await refused(books, error, says, work)
    await books.run(add(one, two))
    await refused(books, Conflict, "already", add(one, two))
    await refused(
        books, NotFound, "no standing order",
        lambda tx: bookkeeping.stop_standing_order(tx, person, uuid4(), now=books.clock.now()),
    )  # fmt: skip


async def test_a_run_books_no_zero_row_keeps_the_schedule_and_shows_its_failures(books: Books) -> None:
    person, now = await books.person(), books.clock.now
    source, target = await books.account(2002), await books.account(2003)
    bank = await books.account(1001)
    order_id = books.ids.new()
    await books.run(
        lambda tx: bookkeeping.add_standing_order(
            tx, person, order_id, from_account_id=source, to_account_id=target, most_minor=50,
            every=timedelta(minutes=10), first_at=now(), now=now(),
        )
    )  # fmt: skip

    async def run() -> int:
        return await books.run(lambda tx: run_standing_orders(tx, now=now(), new_id=books.ids.new))

    async def order() -> finance.StandingOrder:
        (found,) = await books.run(lambda tx: finance.list_standing_orders(tx, order_id=order_id))
        return found

    rows = "SELECT count(*) FROM ledger.transfer"
    assert await run() == 1  # nothing is free
    assert await books.run(lambda tx: tx.fetchval(rows)) == 0
    assert ((await order()).last_run_at, (await order()).next_at) == (None, START + timedelta(minutes=10))
    await books.book(bank, source, 30)
    books.clock.advance(timedelta(minutes=37))
    assert (await run(), await run()) == (1, 0)
    shown = await order()
    assert (shown.last_amount_minor, shown.last_failure, shown.failures) == (30, None, 0)
    assert shown.next_at == START + timedelta(minutes=40)  # by the clock, though the run was seven minutes late
    await books.run(lambda tx: tx.execute("UPDATE ledger.account SET flags = flags | 32 WHERE id = $1", target))
    for _ in range(2):
        books.clock.advance(timedelta(minutes=10))
        await run()
    shown = await order()
    assert (shown.last_failure, shown.failures) == ("credit_account_already_closed", 2)
    stopped = await books.run(lambda tx: bookkeeping.stop_standing_order(tx, person, order_id, now=now()))
    assert (stopped.active, stopped.stopped_by, stopped.stop_reason) == (False, person.by, "agreed")
    books.clock.advance(timedelta(days=1))
    assert await run() == 0
    await refused(
        books, Conflict, "stopped already", lambda tx: bookkeeping.stop_standing_order(tx, person, order_id, now=now())
    )
    assert await books.run(lambda tx: finance.list_standing_orders(tx, active_only=True)) == []


@given(
    st.integers(0, 365 * 86_400), st.integers(1, 40), st.booleans(),
    st.integers(0, 400 * 86_400), st.sampled_from(["Asia/Shanghai", "America/New_York", "Pacific/Apia", "UTC"]),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_the_next_run_is_the_first_on_the_schedule_after_now(
    first_s: int, count: int, days: bool, late_s: int, zone: str
) -> None:
    begin = START + timedelta(seconds=first_s)
    now = begin + timedelta(seconds=late_s)
    every = timedelta(days=count) if days else timedelta(minutes=count)
    following = next_run(begin, every, now=now, zone=zone)
    place = ZoneInfo(zone)
    local = begin.astimezone(place).replace(tzinfo=None)

    def due(number: int) -> datetime:
        return (local + number * every).replace(tzinfo=place).astimezone(UTC) if days else begin + number * every

    number = 0 if days else max(int((now - begin) / every) - 1, 0)
    while due(number) <= now:
        number += 1
    assert following == due(number)
    assert following > now


def test_a_daily_run_keeps_its_hour_over_both_changes_of_summer_time() -> None:
    place = ZoneInfo("America/New_York")
    for month, day in ((3, 8), (11, 1)):
        first = datetime(2026, month, day - 1 if day > 1 else 1, 2, 30, tzinfo=place) - timedelta(days=2)
        runs, now = [], first.astimezone(UTC)
        for _ in range(6):
            now = next_run(first.astimezone(UTC), timedelta(days=1), now=now, zone="America/New_York")
            runs.append(now.astimezone(place).time())
        assert runs.count(time(2, 30)) >= 5, runs


# Memo ledgers


async def test_a_memo_that_cannot_be_counted_is_refused(books: Books) -> None:
    person = await books.person()

    def enter(ref="order 1", amount=10, name="points"):
        memo = ledger.Memo(name, OWNER, ref, amount)
        return lambda tx: bookkeeping.enter_memo(tx, person, memo, now=books.clock.now())

    assert await books.run(enter())
    assert not await books.run(enter())
    for work, error, says in (
        (enter(amount=11), Conflict, "another amount"),
        (enter("order 2", 2**63 - 5), InvalidParameter, "2\\^63-1"),
        (enter("order 2", 2**70), InvalidParameter, "2\\^63-1"),
        (enter("", 1), InvalidParameter, "ref"),
        (enter("order 2", 1, " "), InvalidParameter, "ledger"),
    ):
        await refused(books, error, says, work)
    assert await books.run(enter("order 2", -25))
    (total,) = await books.run(lambda tx: finance.list_memo_totals(tx, "points"))
    assert (total.total, total.entries) == (-15, 2)
    entries = await books.run(lambda tx: finance.list_memo_entries(tx, "points", OWNER, after=1))
    assert [(entry.ref, entry.total_after) for entry in entries] == [("order 2", -15)]


# The archive


async def test_a_partition_is_archived_by_its_owner_when_its_time_is_over(
    books: Books, fresh_database_url: str
) -> None:
    person, now = await books.person(), books.clock.now
    channel, merchant = await books.account(1101), await books.account(2001)
    await books.run(lambda tx: partitions.make_partitions(tx, now=now()))
    transfer = await books.book(channel, merchant, 5)
    await books.run(lambda tx: ledger.seal(tx, now=now()))
    name = (await books.run(partitions.list_partitions))[0].name
    async with Database.open(fresh_database_url, size=2, role=None) as owned:

        def archive(wanted):
            return lambda tx: bookkeeping.archive(tx, person, wanted, now=now())

        for wanted, error, says in (
            (name, Conflict, "the time of"),
            ("transfer_000000000000", NotFound, "left to archive"),
        ):
            with pytest.raises(error, match=says):
                await owned.run(archive(wanted))
        books.clock.advance(timedelta(days=40))
        checksum = await owned.run(archive(name))
        with pytest.raises(NotFound):
            await owned.run(archive(name))
    listed = (await books.run(partitions.list_partitions))[0]
    assert (listed.name, listed.rows, listed.checksum) == (name, 1, checksum)
    found = await books.run(lambda tx: reports.find_transfer(tx, transfer))
    assert found.amount_minor == 5
    journal = await books.run(lambda tx: operators.list_audit(tx, about=("partition", name)))
    assert [record.entry.after for record in journal] == [{"checksum": checksum}]


def test_numbers_stay_numbers_in_csv_and_formulas_are_harmless() -> None:
    assert export.to_csv([{"a": "-19.99", "b": "-1+2", "c": "=1"}]) == "a,b,c\r\n-19.99,'-1+2,'=1\r\n"
