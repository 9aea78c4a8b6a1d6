"""What the ledger promises, seen through its face on a real database."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from hutong import ledger
from hutong.ledger import (
    Account,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)
from hutong.ledger.accounting.chart import account_id
from hutong.ledger.accounts import open_accounts
from hutong.ledger.codec import IntegerOverflowError
from hutong.ledger.model import (
    AMOUNT_MAX,
    AccountBalance,
    AccountFilter,
    AccountFilterFlags,
    AccountFlags,
    CreateAccountStatus,
    QueryFilter,
    QueryFilterFlags,
)
from hutong.ledger.overdraft import set_overdraft_limit
from support.fixtures.ledger import ledger_clock

A, T = CreateAccountStatus, CreateTransferStatus


@pytest.fixture
async def clock(database):
    return await ledger_clock(database)


@pytest.fixture
def lg(tx, clock):
    return ledger.Ledger(tx, clock=clock.now_ns)


@pytest.fixture
def new():
    """Fresh ids, so that tests do not meet in the shared database."""
    return ledger.id


async def accounts(lg, *flags):
    made = [Account(id=ledger.id(), ledger=1, code=10, flags=f) for f in flags]
    assert [r.status for r in await lg.create_accounts(made)] == [A.CREATED] * len(made)
    return [a.id for a in made]


def transfer(debit, credit, amount, **fields):
    fields = {"id": ledger.id(), "ledger": 1, "code": 1, **fields}
    return Transfer(debit_account_id=debit, credit_account_id=credit, amount=amount, **fields)


async def statuses(lg, *transfers):
    return [r.status for r in await lg.create_transfers(transfers)]


async def balances(lg, account):
    (a,) = await lg.lookup_accounts([account])
    return a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted


@pytest.mark.parametrize("own", ["expired hold", "failed id"])
async def test_an_import_with_the_timestamp_of_a_row_of_the_ledgers_own_is_answered(tx, lg, clock, own):
    a, b = await accounts(lg, AccountFlags.NONE, AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
    clock.advance(timedelta(seconds=1))
    if own == "failed id":
        (failed,) = await lg.create_transfers([transfer(b, a, 5)])
        assert failed.status is T.EXCEEDS_CREDITS
        taken = failed.timestamp
    else:
        hold = transfer(a, b, 5, flags=TransferFlags.PENDING, timeout=1)
        assert await statuses(lg, hold) == [T.CREATED]
        clock.advance(timedelta(seconds=5))
        assert await lg.expire_pending_transfers() == 1
        expired = "SELECT timestamp FROM ledger.transfer WHERE pending_id = $1 AND flags = 32768"
        taken = await tx.fetchval(expired, UUID(int=hold.id))
    clock.advance(timedelta(seconds=5))
    imports = [transfer(a, b, 7, flags=TransferFlags.IMPORTED, timestamp=taken + n) for n in (-1, 0, 1)]
    assert await statuses(lg, *imports) == [T.CREATED, T.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS, T.CREATED]
    assert await balances(lg, a) == (0, 14, 0, 0)


@pytest.mark.parametrize("own", ["expired hold", "failed id"])
async def test_an_import_with_the_timestamp_of_a_row_of_its_own_batch_is_answered(lg, clock, own):
    a, b = await accounts(lg, AccountFlags.NONE, AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
    if own == "expired hold":
        assert await statuses(lg, transfer(a, b, 5, flags=TransferFlags.PENDING, timeout=1)) == [T.CREATED]
    clock.advance(timedelta(seconds=5))
    first = clock.now_ns()  # the batch takes its timestamps from here on, the expiry of the hold among them
    before, *events = (transfer(a, b, 5, flags=TransferFlags.IMPORTED, timestamp=first + n) for n in range(-1, 12))
    failing = transfer(b, a, 500, flags=TransferFlags.IMPORTED, timestamp=first - 1)
    late = T.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE
    assert await statuses(lg, failing, before, *events) == [T.EXCEEDS_CREDITS, T.CREATED] + [late] * len(events)
    assert await balances(lg, a) == (0, 5, 0, 0)


async def test_a_transfer_moves_its_amount_and_is_kept_as_given(lg):
    a, b = await accounts(lg, AccountFlags.NONE, AccountFlags.NONE)
    t = transfer(a, b, 100, user_data_128=2**128 - 1, user_data_64=2**64 - 1, user_data_32=2**32 - 1)
    (result,) = await lg.create_transfers([t])
    assert result.status is T.CREATED
    assert await balances(lg, a) == (0, 100, 0, 0)
    assert await balances(lg, b) == (0, 0, 0, 100)
    t.timestamp = result.timestamp
    assert await lg.lookup_transfers([t.id]) == [t]


@pytest.mark.parametrize("count", [1, 127, 128, 1000])
async def test_small_and_large_batches_write_the_same_rows(lg, count):
    a, b = await accounts(lg, AccountFlags.NONE, AccountFlags.NONE)
    batch = [transfer(a, b, n, user_data_64=2**63 + n, user_data_128=n << 100) for n in range(count)]
    results = await lg.create_transfers(batch)
    for t, r in zip(batch, results, strict=True):
        assert r.status is T.CREATED
        t.timestamp = r.timestamp
    assert await lg.lookup_transfers([t.id for t in batch]) == batch
    assert await balances(lg, b) == (0, 0, 0, sum(range(count)))


async def test_the_same_transfer_again_exists_and_moves_nothing(lg):
    a, b = await accounts(lg, AccountFlags.NONE, AccountFlags.NONE)
    t = transfer(a, b, 5)
    first, second = await lg.create_transfers([t, t])
    (third,) = await lg.create_transfers([t])
    assert (first.status, second.status, third.status) == (T.CREATED, T.EXISTS, T.EXISTS)
    assert first.timestamp == second.timestamp == third.timestamp
    t.amount = 6
    assert await statuses(lg, t) == [T.EXISTS_WITH_DIFFERENT_AMOUNT]
    assert await balances(lg, a) == (0, 5, 0, 0)


async def test_a_chain_is_all_or_nothing(lg):
    a, b = await accounts(lg, AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS, AccountFlags.NONE)
    linked = TransferFlags.LINKED
    chain = [
        transfer(b, a, 10, flags=linked),
        transfer(a, b, 11, flags=linked),
        transfer(b, a, 1),
    ]
    assert await statuses(lg, *chain, transfer(b, a, 3)) == [
        T.LINKED_EVENT_FAILED, T.EXCEEDS_CREDITS, T.LINKED_EVENT_FAILED, T.CREATED,
    ]  # fmt: skip
    assert await balances(lg, a) == (0, 0, 0, 3)
    assert await statuses(lg, chain[1]) == [T.LINKED_EVENT_CHAIN_OPEN]
    chain[1].flags = TransferFlags.NONE
    assert await statuses(lg, chain[1]) == [T.ID_ALREADY_FAILED]


async def test_a_hold_counts_against_the_limit_until_it_is_voided(lg):
    a, b = await accounts(lg, AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS, AccountFlags.NONE)
    hold = transfer(a, b, 60, flags=TransferFlags.PENDING)
    void = Transfer(id=ledger.id(), pending_id=hold.id, flags=TransferFlags.VOID_PENDING_TRANSFER)
    assert await statuses(lg, transfer(b, a, 100), hold, transfer(a, b, 41)) == [
        T.CREATED, T.CREATED, T.EXCEEDS_CREDITS,
    ]  # fmt: skip
    assert await statuses(lg, void, transfer(a, b, 41)) == [T.CREATED, T.CREATED]
    assert await balances(lg, a) == (0, 41, 0, 100)


@pytest.mark.parametrize(("amount", "booked"), [(AMOUNT_MAX, 60), (60, 60), (20, 20), (0, 0)])
async def test_a_hold_is_posted_whole_or_in_part_and_only_once(lg, amount, booked):
    a, b = await accounts(lg, AccountFlags.NONE, AccountFlags.NONE)
    hold = transfer(a, b, 60, flags=TransferFlags.PENDING, user_data_64=7)
    post = Transfer(id=ledger.id(), pending_id=hold.id, amount=amount, flags=TransferFlags.POST_PENDING_TRANSFER)
    again = Transfer(id=ledger.id(), pending_id=hold.id, amount=amount, flags=TransferFlags.POST_PENDING_TRANSFER)
    assert await statuses(lg, hold) == [T.CREATED]
    assert await balances(lg, a) == (60, 0, 0, 0)
    assert await statuses(lg, post, again) == [T.CREATED, T.PENDING_TRANSFER_ALREADY_POSTED]
    assert await statuses(lg, post) == [T.EXISTS]
    assert await balances(lg, a) == (0, booked, 0, 0)
    assert await balances(lg, b) == (0, 0, 0, booked)
    (kept,) = await lg.lookup_transfers([post.id])
    assert (kept.amount, kept.debit_account_id, kept.user_data_64, kept.code) == (booked, a, 7, 1)


async def test_a_hold_and_its_posting_in_one_batch(lg):
    a, b = await accounts(lg, AccountFlags.NONE, AccountFlags.NONE)
    hold = transfer(a, b, 60, flags=TransferFlags.PENDING)
    post = Transfer(id=ledger.id(), pending_id=hold.id, amount=1, flags=TransferFlags.POST_PENDING_TRANSFER)
    again = Transfer(id=ledger.id(), pending_id=hold.id, flags=TransferFlags.VOID_PENDING_TRANSFER)
    assert await statuses(lg, hold, post, again) == [T.CREATED, T.CREATED, T.PENDING_TRANSFER_ALREADY_POSTED]
    assert await statuses(lg, hold, post) == [T.EXISTS, T.EXISTS]
    assert await balances(lg, a) == (0, 1, 0, 0)


async def test_a_hold_expires_by_the_clock_whether_or_not_a_pulse_ran(lg, clock):
    a, b = await accounts(lg, AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS, AccountFlags.NONE)
    hold = transfer(a, b, 60, flags=TransferFlags.PENDING, timeout=5)
    late = transfer(a, b, 100)
    post = Transfer(id=ledger.id(), pending_id=hold.id, amount=AMOUNT_MAX, flags=TransferFlags.POST_PENDING_TRANSFER)
    assert await statuses(lg, transfer(b, a, 100), hold) == [T.CREATED] * 2
    clock.advance(timedelta(seconds=4))
    assert await lg.expire_pending_transfers() == 0
    clock.advance(timedelta(seconds=2))
    assert await statuses(lg, late) == [T.CREATED]
    assert await balances(lg, a) == (0, 100, 0, 100)
    assert await statuses(lg, post) == [T.PENDING_TRANSFER_EXPIRED]
    assert await lg.expire_pending_transfers() == 0


async def test_a_pulse_releases_what_is_due(lg, clock):
    a, b, c = await accounts(lg, AccountFlags.NONE, AccountFlags.NONE, AccountFlags.NONE)
    holds = [transfer(a, side, 60, flags=TransferFlags.PENDING, timeout=5) for side in (b, c)]
    await statuses(lg, *holds)
    clock.advance(timedelta(seconds=6))
    assert await lg.expire_pending_transfers() == 2
    assert await balances(lg, a) == (0, 0, 0, 0)
    assert await balances(lg, c) == (0, 0, 0, 0)


async def test_an_account_again_exists_or_differs(lg, new):
    a = Account(id=new(), ledger=1, code=10, user_data_64=2**64 - 1)
    first, again = await lg.create_accounts([a, a])
    assert (first.status, again.status) == (A.CREATED, A.EXISTS)
    assert first.timestamp == again.timestamp
    b = Account(id=a.id, ledger=1, code=11, user_data_64=2**64 - 1)
    assert [r.status for r in await lg.create_accounts([a, b])] == [A.EXISTS, A.EXISTS_WITH_DIFFERENT_CODE]


async def test_chart_accounts_open_on_demand_and_only_once(tx, lg, ids, clock):
    owner = ids.new()
    wanted = [(2001, owner, "CNY"), (1101, owner, "CNY"), (2001, owner, "CNY")]
    await open_accounts(tx, wanted, now=clock.now())
    await open_accounts(tx, wanted, now=clock.now())
    merchant, channel = (account_id(code, owner, "CNY") for code in (2001, 1101))
    found = await lg.lookup_accounts([merchant, channel])
    assert [(a.code, a.ledger, UUID(int=a.user_data_128)) for a in found] == [(2001, 156, owner), (1101, 156, owner)]
    moves = [transfer(channel, merchant, 5, ledger=156), transfer(merchant, channel, 6, ledger=156)]
    assert await statuses(lg, *moves) == [T.CREATED, T.EXCEEDS_CREDITS]
    rows = {row["ledger"]: row for row in await ledger.trial_balance(tx)}
    assert rows[156]["debits_posted"] == rows[156]["credits_posted"] >= 5


async def test_rows_of_the_journal_never_change(lg, tx):
    a, b = await accounts(lg, AccountFlags.NONE, AccountFlags.NONE)
    await statuses(lg, transfer(a, b, 5))
    changes = ("UPDATE ledger.transfer SET amount = 6", "DELETE FROM ledger.transfer")
    for statement in (*changes, "TRUNCATE ledger.transfer", "TRUNCATE ledger.transfer_default"):
        savepoint = tx.transaction()
        await savepoint.start()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tx.execute(statement)
        await savepoint.rollback()
        savepoint = tx.transaction()
        await savepoint.start()
        await tx.execute("SET ROLE NONE")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await tx.execute(statement)
        await savepoint.rollback()


async def test_numbers_that_do_not_fit_are_refused(lg):
    for wrong in ({"amount": -1}, {"amount": 2**128}, {"code": 2**16}, {"timeout": 2**32}, {"user_data_64": -1}):
        with pytest.raises(IntegerOverflowError):
            await lg.create_transfers([Transfer(**{"id": 1, **wrong})])


def account_filter(account, **fields):
    defaults = {
        "account_id": account, "user_data_128": 0, "user_data_64": 0, "user_data_32": 0, "code": 0,
        "timestamp_min": 0, "timestamp_max": 0, "limit": 100,
        "flags": AccountFilterFlags.DEBITS | AccountFilterFlags.CREDITS,
    }  # fmt: skip
    return AccountFilter(**{**defaults, **fields})


def query_filter(**fields):
    defaults = {
        "user_data_128": 0, "user_data_64": 0, "user_data_32": 0, "ledger": 0, "code": 0, "timestamp_min": 0,
        "timestamp_max": 0, "limit": 100, "flags": QueryFilterFlags.NONE,
    }  # fmt: skip
    return QueryFilter(**{**defaults, **fields})


async def test_the_transfers_of_an_account_come_in_order_from_either_end_and_side(lg):
    a, b, c = await accounts(lg, AccountFlags.HISTORY, AccountFlags.NONE, AccountFlags.NONE)
    made = [
        transfer(a, b, 1, code=7),
        transfer(b, a, 2, user_data_64=2**64 - 5),
        transfer(b, c, 3),
        transfer(a, c, 4, code=7, user_data_32=9),
        transfer(c, a, 5, user_data_128=77),
    ]
    for t, r in zip(made, await lg.create_transfers(made), strict=True):
        t.timestamp = r.timestamp
    of_a = [made[i] for i in (0, 1, 3, 4)]
    get = lg.get_account_transfers
    assert await get(account_filter(a)) == of_a
    assert await get(account_filter(a, flags=AccountFilterFlags(7))) == of_a[::-1]
    assert await get(account_filter(a, flags=AccountFilterFlags(7), limit=3)) == of_a[:0:-1]
    assert await get(account_filter(a, limit=2)) == of_a[:2]
    assert await get(account_filter(a, flags=AccountFilterFlags.DEBITS)) == [made[0], made[3]]
    assert await get(account_filter(a, flags=AccountFilterFlags.CREDITS)) == [made[1], made[4]]
    assert await get(account_filter(a, code=7, user_data_32=9)) == [made[3]]
    assert await get(account_filter(a, user_data_64=2**64 - 5)) == [made[1]]
    assert await get(account_filter(a, user_data_128=77)) == [made[4]]
    between = account_filter(a, timestamp_min=made[1].timestamp, timestamp_max=made[3].timestamp)
    assert await get(between) == [made[1], made[3]]
    wrong = ({"limit": 0}, {"flags": AccountFilterFlags.NONE}, {"timestamp_min": 2, "timestamp_max": 1})
    for fields in wrong:
        assert await get(account_filter(a, **fields)) == []


async def test_balances_are_kept_for_accounts_with_history(lg, clock):
    a, b = await accounts(lg, AccountFlags.HISTORY, AccountFlags.NONE)
    hold = transfer(a, b, 5, flags=TransferFlags.PENDING)
    doomed = transfer(a, b, 9, flags=TransferFlags.PENDING, timeout=1)
    post = Transfer(id=ledger.id(), pending_id=hold.id, amount=2, flags=TransferFlags.POST_PENDING_TRANSFER)
    results = await lg.create_transfers([hold, doomed, transfer(b, a, 100), post])
    clock.advance(timedelta(seconds=2))
    results += await lg.create_transfers([transfer(a, b, 1)])
    times = [r.timestamp for r in results]
    assert await lg.get_account_balances(account_filter(a)) == [
        AccountBalance(5, 0, 0, 0, times[0]),
        AccountBalance(14, 0, 0, 0, times[1]),
        AccountBalance(14, 0, 0, 100, times[2]),
        AccountBalance(9, 2, 0, 100, times[3]),
        AccountBalance(0, 3, 0, 100, times[4]),
    ]
    assert await lg.get_account_balances(account_filter(b)) == []


async def test_accounts_and_transfers_are_found_by_their_fields(lg):
    mark = ledger.id()
    made = [Account(id=ledger.id(), ledger=7, code=n + 1, user_data_128=mark, user_data_64=n) for n in range(3)]
    await lg.create_accounts(made)
    found = await lg.query_accounts(query_filter(user_data_128=mark))
    assert [a.id for a in found] == [a.id for a in made]
    found = await lg.query_accounts(query_filter(user_data_128=mark, flags=QueryFilterFlags.REVERSED, limit=2))
    assert [a.id for a in found] == [made[2].id, made[1].id]
    assert [a.id for a in await lg.query_accounts(query_filter(user_data_128=mark, code=2))] == [made[1].id]
    moves = [transfer(made[0].id, made[1].id, n, ledger=7, user_data_128=mark, user_data_32=n) for n in range(3)]
    results = await lg.create_transfers(moves)
    first, last = results[0].timestamp, results[2].timestamp
    for t, r in zip(moves, results, strict=True):
        t.timestamp = r.timestamp
    query = lg.query_transfers
    assert await query(query_filter(user_data_128=mark)) == moves
    assert await query(query_filter(user_data_128=mark, flags=QueryFilterFlags.REVERSED)) == moves[::-1]
    assert await query(query_filter(user_data_32=2, timestamp_min=first, timestamp_max=last)) == [moves[2]]
    assert await query(query_filter(ledger=7, timestamp_min=first, flags=QueryFilterFlags.REVERSED)) == moves[::-1]
    assert await query(query_filter(limit=0)) == []


async def test_an_overdraft_limit_lets_an_account_go_below_zero_and_no_further(lg, tx, clock):
    a, b = await accounts(lg, AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS, AccountFlags.NONE)
    change = {"by": "ops@example.com", "reason": "trusted merchant", "now": clock.now()}
    assert await set_overdraft_limit(tx, a, 100, **change) == 0
    hold = transfer(a, b, 60, flags=TransferFlags.PENDING)
    assert await statuses(lg, hold, transfer(a, b, 41), transfer(a, b, 40), transfer(a, b, 1)) == [
        T.CREATED, T.EXCEEDS_CREDITS, T.CREATED, T.EXCEEDS_CREDITS,
    ]  # fmt: skip
    assert await set_overdraft_limit(tx, a, 0, **change) == 100
    assert await statuses(lg, transfer(a, b, 0), transfer(b, a, 100), transfer(a, b, 0)) == [
        T.EXCEEDS_CREDITS, T.CREATED, T.CREATED,
    ]  # fmt: skip
    changes = await tx.fetch("SELECT old_limit, new_limit, changed_by FROM ledger.overdraft_change ORDER BY id")
    assert [tuple(row) for row in changes][-2:] == [(0, 100, "ops@example.com"), (100, 0, "ops@example.com")]
