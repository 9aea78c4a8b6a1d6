"""Random batches of every kind of event, answered by the ledger and by the oracle: equal after each step."""

from __future__ import annotations

import asyncio
import copy
import random
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from hutong import ledger
from hutong.clock import ManualClock
from hutong.ledger import Account, Transfer, TransferFlags
from hutong.ledger import CreateTransferStatus as T
from hutong.ledger.model import AccountFlags
from hutong.ledger.overdraft import set_overdraft_limit
from support import SEED
from support.models.ledger import Oracle

MAX = 2**128 - 1
F = TransferFlags
ACCOUNTS = range(1, 7)
account_ids = st.sampled_from(ACCOUNTS)
any_account = st.sampled_from([*ACCOUNTS, 0, 9, MAX])
small = st.sampled_from([0, 0, 0, 1, 2])
randoms = st.randoms(use_true_random=False)
STRANGE = {
    "id": [0, MAX],
    "debit_account_id": [0, MAX, 1, 2, 9],
    "credit_account_id": [0, MAX, 1, 2, 9],
    "amount": [0, 1, 2**62, 2**63 - 1, 2**63, MAX],
    "pending_id": [0, 1, 2, MAX],
    "user_data_128": [0, 1, MAX],
    "user_data_64": [0, 1, 2**64 - 1],
    "user_data_32": [0, 1, 2**32 - 1],
    "timeout": [0, 1, 2**32 - 1],
    "ledger": [0, 1, 2],
    "code": [0, 1, 2, 2**16 - 1],
    "flags": [0, 1, 2, 4, 8, 12, 6, 16, 32, 34, 50, 64, 66, 130, 20, 256, 512],
    "timestamp": [0, 7, 2**63 - 1],
}


class Maker:
    """Makes events that know what the oracle has: most are sound, many differ from a sound one in one field."""

    def __init__(self, rnd, oracle):
        self.rnd = rnd
        self.oracle = oracle
        self.made = []
        self.next_id = max(oracle.transfers, default=0) + len(oracle.failed) + 1

    def batch(self, size):
        return [self.event() for _ in range(size)]

    def event(self):
        known = [*self.oracle.transfers.values(), *self.made]
        holds = [t for t in known if t.flags & 2]
        kinds = [self.plain] * 4 + [self.hold] * 2 + [self.strange_ledger]
        kinds += [lambda: self.resolution(holds)] * 3 * bool(holds) + [lambda: self.again(known)] * 2 * bool(known)
        event = self.rnd.choice(kinds)()
        if self.rnd.random() < 0.2:
            field = self.rnd.choice([*STRANGE])
            value = self.rnd.choice(STRANGE[field])
            setattr(event, field, F(value) if field == "flags" else value)
        if self.rnd.random() < 0.12:
            event.flags |= F.LINKED
        self.made.append(event)
        return event

    def plain(self):
        rnd, self.next_id = self.rnd, self.next_id + 1
        accounts = [a for a in self.oracle.accounts.values() if a.ledger == 1] or [Account(id=1)]
        debit, credit = (rnd.choice(accounts) for _ in range(2))
        return Transfer(
            id=self.next_id, debit_account_id=debit.id, credit_account_id=credit.id, ledger=1, code=rnd.choice([1, 2]),
            amount=rnd.choice([0, 1, 2, 5, 10, 100] * 3 + [2**62, MAX]), user_data_64=rnd.choice([0, 1]),
            user_data_32=rnd.choice([0, 1]), user_data_128=rnd.choice([0, 1]),
            flags=F(rnd.choice([0, 0, 0, 0, 16, 32, 48])),
        )  # fmt: skip

    def strange_ledger(self):
        """Across ledgers, or against a huge balance."""
        event = self.plain()
        event.debit_account_id = self.rnd.choice([*self.oracle.accounts] or [1])
        event.amount = self.rnd.choice([1, 2**62, 2**63 - 1])
        event.flags |= self.rnd.choice([0, 2])
        event.ledger = self.rnd.choice([1, 2])
        return event

    def hold(self):
        event = self.plain()
        event.flags = F(2 | self.rnd.choice([0] * 8 + [16, 32, 64, 128, 192]))
        event.timeout = self.rnd.choice([0, 1, 2, 3])
        event.amount = min(event.amount, 2**62)
        return event

    def resolution(self, holds):
        rnd, self.next_id = self.rnd, self.next_id + 1
        hold = rnd.choice(holds)
        flags = F(rnd.choice([4, 8]))
        amounts = (
            [MAX, hold.amount, hold.amount // 2, min(hold.amount + 1, MAX)] if flags & 4 else [0, 0, hold.amount, 1]
        )
        return Transfer(
            id=self.next_id, pending_id=hold.id, flags=flags, amount=rnd.choice(amounts),
            debit_account_id=rnd.choice([0, hold.debit_account_id]), code=rnd.choice([0, 0, hold.code]),
            credit_account_id=rnd.choice([0, hold.credit_account_id]), ledger=rnd.choice([0, 0, hold.ledger]),
            user_data_128=rnd.choice([0, 0, 2]), user_data_64=rnd.choice([0, 0, 2]), user_data_32=rnd.choice([0, 2]),
        )  # fmt: skip

    def again(self, known):
        event = copy.copy(self.rnd.choice(known))
        event.timestamp = 0
        if self.rnd.random() < 0.6:
            field = self.rnd.choice([field for field in STRANGE if field not in {"id", "flags", "timestamp"}])
            setattr(event, field, getattr(event, field) ^ 1 if self.rnd.random() < 0.5 else 0)
        return event


wild_accounts = st.lists(
    st.builds(
        Account,
        id=any_account, ledger=st.sampled_from([0, 1, 2]), code=st.sampled_from([0, 1]), user_data_128=small,
        user_data_64=small, user_data_32=small, debits_pending=st.sampled_from([0, 0, 0, 1]),
        credits_posted=st.sampled_from([0, 0, 0, 1]), timestamp=st.sampled_from([0, 0, 0, 5]),
        flags=st.one_of(st.sampled_from([0, 1, 8, 6, 16, 32]), st.integers(0, 127)).map(AccountFlags),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


class World(RuleBasedStateMachine):
    url: str

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.conn = self.wait(asyncpg.connect(self.url))
        self.wait(self.conn.execute("SET ROLE hutong_app"))
        self.transaction = self.conn.transaction()
        self.wait(self.transaction.start())
        self.clock = ManualClock()
        self.last = self.wait(self.conn.fetchval("SELECT last_value FROM ledger.clock"))
        self.clock.advance(timedelta(seconds=max(0, self.last - self.clock.now_ns()) // 10**9 + 1))
        self.lg = ledger.Ledger(self.conn, clock=self.clock.now_ns)
        self.oracle = Oracle()
        self.seen = set()

    def wait(self, coroutine):
        return self.runner.run(_await(coroutine))

    def teardown(self):
        self.wait(self.transaction.rollback())
        self.wait(self.conn.close())
        self.runner.close()

    @initialize(flags=st.lists(st.sampled_from([0, 0, 2, 4, 8]), min_size=4, max_size=4))
    def open_accounts(self, flags):
        events = [Account(id=n + 1, ledger=1, code=1, flags=AccountFlags(f & ~1)) for n, f in enumerate(flags)]
        self.accounts(events)

    @rule(events=wild_accounts)
    def accounts(self, events):
        results = self.wait(self.lg.create_accounts(events))
        first = self.first(len(events))
        expected = self.oracle.create_accounts(events, first)
        assert [(r.status, r.timestamp) for r in results] == expected
        self.compare()

    @rule(rnd=randoms, size=st.integers(1, 12))
    def transfers(self, rnd, size):
        self.book(Maker(rnd, self.oracle).batch(size))

    @rule(rnd=randoms, size=st.integers(1, 8))
    def imported(self, rnd, size):
        self.clock.advance(timedelta(milliseconds=1))
        newest = max((t.timestamp for t in self.oracle.transfers.values()), default=0)
        stamp = max([newest, *(a.timestamp for a in self.oracle.accounts.values())])
        events = Maker(rnd, self.oracle).batch(size)
        for event in events:
            stamp += rnd.choice([1, 1, 1, 2, 3, 0, -4])
            if rnd.random() < 0.95:
                event.flags |= F.IMPORTED
                own = sorted(self.oracle.own_stamps)[-2:]
                event.timestamp = rnd.choice([stamp] * 12 + [0, 2**63 - 1, 2**62, 1] + own)
                if rnd.random() < 0.9:
                    event.timeout = 0
        self.book(events)

    def book(self, events):
        """Book with both, and compare the answers and all that is kept."""
        results = self.wait(self.lg.create_transfers(events))
        first = self.first(len(events))
        expected = self.oracle.create_transfers(events, first)
        assert [(r.status, r.timestamp) for r in results] == expected
        self.compare()
        self.seen |= {r.status for r in results}

    @rule(seconds=st.sampled_from([0.5, 1.5, 2.5]))
    def time_passes(self, seconds):
        self.clock.advance(timedelta(seconds=seconds))

    @rule()
    def pulse(self):
        expired = self.oracle.expire(self.clock.now_ns())
        assert self.wait(self.lg.expire_pending_transfers()) == expired
        if expired:
            self.oracle.own_stamps |= set(range(self.first(expired), self.last + 1))
        self.compare()

    @rule(account=account_ids, limit=st.sampled_from([0, 5, 50]))
    def overdraft(self, account, limit):
        if account in self.oracle.accounts:
            change = {"by": "test", "reason": "test", "now": self.clock.now()}
            self.wait(set_overdraft_limit(self.conn, account, limit, **change))
            self.oracle.overdraft[account] = limit

    def first(self, count):
        """The batch's first timestamp: with one connection, its last one is where the ledger's clock stands."""
        before, self.last = self.last, self.wait(self.conn.fetchval("SELECT last_value FROM ledger.clock"))
        first = self.last - count + 1
        assert first > before
        assert first >= self.clock.now_ns()
        return first

    def compare(self):
        kept = self.wait(self.lg.lookup_accounts([*self.oracle.accounts]))
        assert kept == [*self.oracle.accounts.values()]
        kept = self.wait(self.lg.lookup_transfers([*self.oracle.transfers]))
        assert {t.id: t for t in kept} == self.oracle.transfers


async def _await(coroutine):
    return await coroutine


@pytest.fixture(scope="module")
def url(server_url):
    from support import migrated_database

    return migrated_database(server_url)


def test_ledger_and_oracle_agree(url):
    World.url = url
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], database=None,
        ),
    )  # fmt: skip


def test_ledger_and_oracle_agree_over_long_lives(url):
    """What Hypothesis does not reach in its short lives."""
    World.url = url
    rnd = random.Random(SEED)
    seen = set()
    for _ in range(25):
        world = World()
        try:
            world.open_accounts(flags=[rnd.choice([0, 0, 0, 2, 4, 8]) for _ in range(4)])
            world.accounts([Account(id=n, ledger=2, code=1) for n in (5, 6)])
            for _ in range(12):
                if rnd.random() < 0.3:
                    world.time_passes(seconds=rnd.choice([0.5, 1.5, 2.5]))
                if rnd.random() < 0.1:
                    world.pulse()
                (world.imported if rnd.random() < 0.2 else world.transfers)(rnd=rnd, size=rnd.randint(1, 12))
            seen |= world.seen
        finally:
            world.teardown()
    assert len(seen) > 45


def test_every_answer_that_chance_seldom_finds(url):
    """Statuses that need an arrangement, each asked of both."""
    World.url = url
    world = World()
    try:
        world.open_accounts(flags=[0, 0, 0, 0])
        both = {"debit_account_id": 1, "credit_account_id": 2, "ledger": 1, "code": 1}
        made = world.oracle.accounts[1].timestamp
        imported = F.IMPORTED
        world.clock.advance(timedelta(seconds=1))
        world.book([
            Transfer(id=1, **both, flags=imported, timestamp=made - 1),
            Transfer(id=2, **{**both, "debit_account_id": 4}, flags=imported, timestamp=made + 9),
        ])  # fmt: skip
        world.accounts([Account(id=7, ledger=1, code=1, flags=AccountFlags.IMPORTED, timestamp=made + 50)])
        world.book([
            Transfer(id=3, **{**both, "debit_account_id": 7}, flags=imported, timestamp=made + 20),
            Transfer(id=4, **{**both, "credit_account_id": 7}, flags=imported, timestamp=made + 20),
            Transfer(id=5, **both, flags=imported | F.PENDING, timeout=1, timestamp=made + 20),
            Transfer(id=6, **both, flags=imported, timestamp=made + 50),
            Transfer(id=7, **both, flags=imported, timestamp=2**62),
        ])  # fmt: skip
        big = 2**62
        hold, post = F.PENDING, F.POST_PENDING_TRANSFER
        other = {**both, "debit_account_id": 3}
        world.book([
            Transfer(id=10, **both, amount=big, flags=hold), Transfer(id=11, **both, amount=big, flags=hold),
            Transfer(id=12, **other, amount=big, flags=hold), Transfer(id=13, **both, amount=big),
            Transfer(id=14, **other, amount=big), Transfer(id=15, **both, amount=big - 1),
            Transfer(id=16, **other, amount=2**63), Transfer(id=17, **both, amount=2**63),
            Transfer(id=20, pending_id=20, flags=post), Transfer(id=21, flags=post),
            Transfer(id=22, pending_id=MAX, flags=post), Transfer(id=23, pending_id=10, ledger=2, flags=post),
            Transfer(id=24, pending_id=10, amount=1, flags=F.VOID_PENDING_TRANSFER),
            Transfer(id=25, **both, flags=F.CLOSING_DEBIT), Transfer(id=26, **both, flags=F(512)),
            Transfer(id=27, **{**both, "credit_account_id": MAX}), Transfer(id=28, **{**both, "credit_account_id": 0}),
        ])  # fmt: skip
        world.book([Transfer(id=29, **{**both, "debit_account_id": 4, "credit_account_id": 3}, amount=big * 2 - 1)])
        world.book([Transfer(id=31, **{**both, "credit_account_id": 3}, amount=1)])
        expected = {
            T.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT,
            T.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT,
            T.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO, T.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
            T.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE, T.OVERFLOWS_DEBITS_PENDING, T.OVERFLOWS_CREDITS_PENDING,
            T.OVERFLOWS_DEBITS_POSTED, T.OVERFLOWS_CREDITS_POSTED, T.OVERFLOWS_DEBITS, T.OVERFLOWS_CREDITS,
            T.PENDING_ID_MUST_BE_DIFFERENT, T.PENDING_ID_MUST_NOT_BE_ZERO, T.PENDING_ID_MUST_NOT_BE_INT_MAX,
            T.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER, T.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT, T.RESERVED_FLAG,
            T.CLOSING_TRANSFER_MUST_BE_PENDING, T.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX,
            T.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO,
        }  # fmt: skip
        assert sorted(s.name for s in expected - world.seen) == []
    finally:
        world.teardown()
