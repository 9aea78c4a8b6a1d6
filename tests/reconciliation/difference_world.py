"""An account whose differences persons decide, with the life cycle behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from difference_rows import difference_row, side_row

from hutong import db, operators
from hutong.app.approval_handlers import approval_handlers
from hutong.operators import Operator, Role
from hutong.payments import Payment
from hutong.reconciliation import differences
from hutong.reconciliation.model import Difference, DifferenceAction, Layer
from support.fixtures.exceptions import person
from support.fixtures.payments import World, number

DAY = date(2026, 11, 2)


class Desk:
    """Two persons, and what they do about the differences of an account."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.account_id = world.account_id

    async def operator(self, role: Role = Role.APPROVER, duties: Sequence[str] = ()) -> Operator:
        """Add a person."""
        identifier = await person(self.world, duties)
        return Operator(identifier, "somebody", role, duties=tuple(duties))

    async def record(
        self, rows: Iterable[dict[str, Any]], *, day: date = DAY, layer: Layer = Layer.PAYMENT_BILL,
        late: Iterable[str] = (),
    ) -> differences.RecordedDifferences:  # fmt: skip
        """Bring in what a run has found."""

        async def work(tx: db.Tx) -> differences.RecordedDifferences:
            return await differences.record(
                tx, account_id=self.account_id, day=day, layer=layer, rows=list(rows), matched_late=set(late),
                now=self.world.clock.now(), new_id=self.world.ids.new,
            )  # fmt: skip

        return await self.world.database.run(work)

    async def cases(self, **where: Any) -> list[Difference]:
        """What is not resolved, oldest first, unless the filter selects otherwise."""
        selected = differences.DifferenceFilter(account_id=self.account_id, **where)
        async with self.world.database.transaction() as tx:
            found = await differences.list_differences(tx, selected, limit=20_000)
        return sorted(found, key=lambda case: case.key)

    async def case(self, key: str) -> Difference:
        """The difference of a key, whatever its state."""
        async with self.world.database.transaction() as tx:
            row = await tx.fetchval(
                "SELECT id FROM reconciliation.difference WHERE account_id = $1 AND key = $2", self.account_id, key
            )
            return await differences.find_difference(tx, row)

    async def decide(
        self, *decisions: differences.CaseDecision, operator: Operator | None = None, digest: str | None = None
    ) -> differences.CaseDecisions:
        """Decide as one person."""
        maker = operator or await self.operator()

        async def work(tx: db.Tx) -> differences.CaseDecisions:
            return await differences.decide(
                tx, decisions, operator=maker, reason="seen in the portal", now=self.world.clock.now(),
                new_id=self.world.ids.new, digest=digest,
            )  # fmt: skip

        return await self.world.database.run(work)

    async def approve(
        self, decided: differences.CaseDecisions, *, approve: bool = True, duties: Sequence[str] = ()
    ) -> None:
        """Approve, or reject, as another person."""
        assert decided.proposal is not None
        checker = await self.operator(duties=duties)
        decision = operators.ApprovalDecision(decided.proposal.proposal_id, checker.operator_id, approve, "checked")
        handlers = approval_handlers(self.world.transactions)
        await self.world.database.run(lambda tx: operators.conclude(tx, decision, handlers, now=self.world.clock.now()))

    async def settle(self, key: str, action: DifferenceAction, **more: Any) -> Difference:
        """Decide and approve one case."""
        case = await self.case(key)
        decided = await self.decide(differences.CaseDecision(case.difference_id, action, "looked at", **more))
        assert decided.refused == []
        if decided.proposal is not None:
            await self.approve(decided)
        return await self.case(key)

    async def balance(self, code: int) -> int:
        """Debits less credits of the account's subject."""
        query = """SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM ledger.account
            WHERE user_data_128 = $1 AND code = $2"""
        async with self.world.database.transaction() as tx:
            return int(await tx.fetchval(query, self.account_id, code))

    async def balances(self, *codes: int) -> list[int]:
        return [await self.balance(code) for code in codes]

    async def suspense_holds(self) -> None:
        async with self.world.database.transaction() as tx:
            assert await differences.check_suspense(tx) == []
        await self.world.books_balance()

    async def histories(self, key: str) -> list[str]:
        case = await self.case(key)
        async with self.world.database.transaction() as tx:
            return [entry.what for entry in await differences.history(tx, case.difference_id)]


def billed(payment: Payment, *, amount: int | None = None, fee: int = 12) -> dict[str, Any]:
    """The bill's row of a payment that is not booked here."""
    row = side_row(number(payment), amount or payment.amount_minor, fee)
    return difference_row("unexpected", "theirs", number(payment), theirs=[row])


def decisions_of(
    cases: Sequence[Difference], action: DifferenceAction, reason: str = "looked at"
) -> list[differences.CaseDecision]:
    return [differences.CaseDecision(case.difference_id, action, reason) for case in cases]


def public(identifier: UUID) -> str:
    from hutong import ids

    return ids.encode("dif", identifier)
