"""A channel that gives money back, and merchants who ask it to, on real PostgreSQL."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from honest_channel import CAPABILITIES, NOTHING, HonestChannel, OneAccount
from payment_world import World

from hutong import ledger, payments
from hutong.channels import About, ChannelAnswer, ChannelState, Notification, Payout, Refund, RefundRule
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import Payment, Payments, RefundOrder
from hutong.vault import Vault

REFUNDS = replace(CAPABILITIES, refund=RefundRule(window=timedelta(days=365), count_max=50))
_numbers = itertools.count(1)


@dataclass
class RefundingChannel(HonestChannel):
    """Refunds by number. `verdicts` says what becomes of the next ones; SUCCEEDED if nothing is said."""

    refunds: dict[str, Refund] = field(default_factory=dict)
    payouts: dict[str, Payout] = field(default_factory=dict)
    outcomes: dict[str, ChannelAnswer] = field(default_factory=dict)
    verdicts: list[ChannelAnswer] = field(default_factory=list)

    async def refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        return self._take("refund", refund)

    async def void(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        return self._take("void", refund)

    async def query_refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        self.calls.append(("query_refund", refund.refund_no))
        if not self.reachable or not self.replies:
            return NOTHING
        return self._said(refund.refund_no)

    async def payout(self, payout: Payout, *, now: datetime) -> ChannelAnswer:
        self.calls.append(("payout", payout.payout_no))
        if not self.reachable:
            return NOTHING
        self.payouts.setdefault(payout.payout_no, payout)
        if payout.payout_no not in self.outcomes:
            verdict = self.verdicts.pop(0) if self.verdicts else ChannelAnswer(ChannelState.SUCCEEDED)
            self.outcomes[payout.payout_no] = verdict
        return self.outcomes[payout.payout_no] if self.replies else NOTHING

    async def query_payout(self, payout: Payout, *, now: datetime) -> ChannelAnswer:
        self.calls.append(("query_payout", payout.payout_no))
        if not self.reachable or not self.replies:
            return NOTHING
        return self.outcomes.get(payout.payout_no, ChannelAnswer(ChannelState.NOT_FOUND))

    def refund_notice(self, refund_no: str) -> Notification:
        return Notification("n", refund_no, self._said(refund_no), About.REFUND)

    @property
    def returned_minor(self) -> int:
        """What has gone back to payers."""
        return sum(
            (self.refunds.get(no) or self.payouts[no]).amount_minor
            for no, answer in self.outcomes.items()
            if answer.state is ChannelState.SUCCEEDED
        )

    def _take(self, verb: str, refund: Refund) -> ChannelAnswer:
        self.calls.append((verb, refund.refund_no))
        if not self.reachable:
            return NOTHING
        known = self.refunds.setdefault(refund.refund_no, replace(refund, channel_refund_no=None))
        assert known == replace(refund, channel_refund_no=None), "the same number must ask for the same thing"
        standing = self.outcomes.get(refund.refund_no)
        if standing is None or standing.state is ChannelState.FAILED:
            verdict = self.verdicts.pop(0) if self.verdicts else ChannelAnswer(ChannelState.SUCCEEDED)
            self.outcomes[refund.refund_no] = verdict
        return self._said(refund.refund_no) if self.replies else NOTHING

    def _said(self, refund_no: str) -> ChannelAnswer:
        if refund_no not in self.refunds:
            return ChannelAnswer(ChannelState.NOT_FOUND, channel_code="REFUND_NOT_EXIST")
        amount = self.refunds[refund_no].amount_minor
        return replace(self.outcomes[refund_no], amount_minor=amount, currency="CNY")


class RefundWorld(World):
    """A merchant whose payments are paid and given back."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        super().__init__(database, clock)
        self.channel = RefundingChannel(capabilities=REFUNDS)
        self.lifecycle = self.new_flow()

    def new_flow(self) -> Payments:
        """The process, started again."""
        accounts: Any = OneAccount(self.account_id, self.channel)
        return Payments(
            self.database,
            accounts,
            self.transactions,
            clock=self.clock,
            ids=self.ids,
            public_url="https://pay.example",
            vault=Vault([bytes(32)]),
        )

    async def quiet(self) -> None:
        """What other tests have left open is not swept: this channel does not know it."""
        async with self.database.transaction() as tx:
            for table in ("attempt", "refund"):
                await tx.execute(
                    f"UPDATE payments.{table} SET next_query_at = 'infinity' WHERE next_query_at IS NOT NULL"
                )

    async def paid(self, **changed: Any) -> Payment:
        payment = await self.payment(**changed)
        await self.hear(self.word(payment.attempts[0], ChannelState.SUCCEEDED, amount_minor=payment.amount_minor))
        return await self.again(payment)

    async def again(self, payment: Payment) -> Payment:
        async with self.database.transaction() as tx:
            return (await payments.find(tx, [payment.payment_id]))[payment.payment_id]

    async def refund(self, payment: Payment, amount: int | None = None, **changed: Any) -> dict[str, Any]:
        """Ask for a refund as a merchant does; returns the document."""
        fields: dict[str, Any] = {"merchant_refund_no": f"refund-{next(_numbers)}", "reason": "damaged"}
        _, body = await self.lifecycle.refunds.place(payment, RefundOrder(amount_minor=amount, **fields | changed))
        return orjson.loads(body)

    async def intend(self, payment: Payment, *amounts: int) -> list[Any]:
        """Reserve and commit a list, and let the process die before it calls the channel."""
        wanted = [
            payments.NewRefund(
                self.ids.new(), payment.payment_id, payment.merchant_id, f"refund-{next(_numbers)}", amount, "damaged",
                self.channel.capabilities,
            )
            for amount in amounts
        ]  # fmt: skip
        return await self.transactions.refunds.place([payments.PlaceRefund(new) for new in wanted])

    async def refunds(self, payment: Payment) -> list[payments.Refund]:
        async with self.database.transaction() as tx:
            return (await payments.refunds_of(tx, [payment.payment_id]))[payment.payment_id]

    async def agree(self, limit_minor: int) -> int:
        """Agree an overdraft."""
        said: dict[str, Any] = {"by": "ops", "reason": "contract 7", "now": self.clock.now()}
        return await self.database.run(
            lambda tx: payments.agree_overdraft(tx, self.merchant_id, "CNY", limit_minor, **said)
        )

    async def convert(self, refund: payments.Refund, route: str, **said: Any) -> str:
        command = payments.SwitchRefundMethod(refund.refund_id, payments.RefundMethod(route), **said)
        return await self.database.run(lambda tx: self.transactions.refunds.convert(tx, command))

    async def settle(self, refund: payments.Refund, reference: str | None, **said: Any) -> payments.Refund | None:
        command = payments.SettleManually(refund.refund_id, reference, **said)
        return await self.database.run(lambda tx: self.transactions.refunds.settle(tx, command))

    async def sweep(self, after: timedelta = timedelta(seconds=61)) -> None:
        self.clock.advance(after)
        await self.lifecycle.refunds.sweep()

    async def balances(self) -> dict[int, tuple[int, int]]:
        """Posted and pending balance of this world's accounts by chart code, credits positive."""
        owners = {
            1001: UUID(int=1), 1101: self.account_id, 2001: self.merchant_id, 2201: self.account_id,
            2202: self.account_id, 2301: self.account_id,
        }  # fmt: skip
        async with self.database.transaction() as tx:
            book = ledger.Ledger(tx, clock=self.clock.now_ns)
            ids = {ledger.account_id(code, owner, "CNY"): code for code, owner in owners.items()}
            found: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
            for account in await book.lookup_accounts(list(ids)):
                found[ids[account.id]] = (
                    account.credits_posted - account.debits_posted,
                    account.credits_pending - account.debits_pending,
                )
            return found

    async def books_have_no_holds(self) -> None:
        """Debits equal credits, and what is reserved is what the refunds under way say."""
        async with self.database.transaction() as tx:
            found = await ledger.check_invariants(tx, now=self.clock.now())
            reserved = await tx.fetchval(
                "SELECT coalesce(sum(amount_minor - fee_minor + platform_minor + channel_minor), 0) "
                "FROM payments.refund WHERE merchant_id = $1 AND kind = 'refund' AND finished_at IS NULL",
                self.merchant_id,
            )
        assert found.problems == []
        assert (await self.balances())[2001][1] == -reserved

    async def told(self, object_id: UUID) -> list[tuple[int, str]]:
        """The events of one object, by their numbers."""
        async with self.database.transaction() as tx:
            rows = await tx.fetch(
                "SELECT object_seq, type FROM events.outbox WHERE object_id = $1 ORDER BY object_seq", object_id
            )
        return [(row["object_seq"], row["type"]) for row in rows]
