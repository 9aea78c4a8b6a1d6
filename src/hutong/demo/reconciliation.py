"""The sandbox's day reconciled: bills and a bank statement, planted differences, and the end of each of them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from hutong import app, db, ledger, operators
from hutong.demo.merchant import Client
from hutong.demo.payers import WECHAT, alphanumeric
from hutong.demo.scenarios import FinishedPayment, Scenario
from hutong.errors import Unavailable
from hutong.ledger import reports as books
from hutong.operators import Operator, Role
from hutong.reconciliation import (
    Counterparty,
    Difference,
    DifferenceAction,
    DifferenceState,
    FileState,
    Layer,
    RunFolder,
    bank,
    differences,
    files,
    list_parties,
    reports,
    runs,
    verify,
)

PLANTED = {"amount": 1, "duplicate": 1, "extra": 1, "missing": 1}
"""The differences that each channel's bill is planted with, as far as it has rows."""
BANK_PLANTED = {"short": 1, "joined": 1}
"""Those of the bank's statement: one credit is too small, and one pays two channels without naming either."""

_CURRENCY = "CNY"
_CLASSES = {"amount": "mismatch", "duplicate": "duplicate", "extra": "unexpected", "missing": "missing"}
"""What each planted difference must be called."""
_SUSPENSE = 2301
_FIRST = datetime(1970, 1, 2, tzinfo=UTC)
_STEP = timedelta(days=1)
_AFTER_HOURS = timedelta(hours=3)
"""How long after the latest channel's hour the clock is put: all bills of a day are to be had by then."""
_MOST = 10_000
_SEEDS = 100
_FAILED = "ABNORMAL"
"""The state of a refund that WeChat Pay's bill states and that has moved no money."""

Finding = tuple[str, str]
"""A class, and our number without the characters that some channels do not allow."""


@dataclass(slots=True)
class ReconciledDays:
    """The reconciliation of the demonstration in figures.

    Attributes:
        clock_moved_hours: How far the sandbox's clock was moved on for it.
        planted, found: The differences by class: of the sandbox's key, and as they were found.
        actions: How many differences each action has ended.
        explained: By account and day, the part of its money that is explained.
        verified_days: How many account days `recon verify` has computed again, all alike.
        broken: What does not hold.
    """

    clock_moved_hours: int = 0
    files: int = 0
    runs: int = 0
    planted: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)
    open: int = 0
    suspense_minor: int = 0
    explained: dict[str, str] = field(default_factory=dict)
    verified_days: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


async def reconcile(
    settings: app.Settings,
    client: Client,
    finished: Sequence[FinishedPayment],
    *,
    began: datetime,
    report: Callable[[str], None],
) -> ReconciledDays:
    """Reconcile the days of the demonstration's payments with all channels and the bank, to the end.

    Args:
        began: The sandbox's instant before the first payment.
        report: Is called with each step that begins.

    Effects:
        Moves the sandbox's clock on by three days.
    """
    started = time.monotonic()
    async with app.open_platform(settings.model_copy(update={"log_level": "error"})) as platform:
        work = _Work(platform, client, began, ReconciledDays(), report)
        await work.prepare()
        work.report("planting differences in the bills and in the bank's statement")
        expected = await work.plant(finished)
        await work.move_clock(2)
        work.report("fetching the bills and reconciling them")
        await work.bring_in_bills()
        await work.bring_in_statements()
        found = await work.find()
        compare(work.done, expected, found)
        work.report("resolving the differences, each approved by a second person")
        await work.resolve()
        await work.correct_statement()
        await work.move_clock(1)
        work.report("reconciling the next day, which explains the rest")
        await work.bring_in_bills()
        await work.bring_in_statements()
        await work.resolve()
        work.report("computing every day again from the original files")
        await work.check_end()
    work.done.seconds = round(time.monotonic() - started, 2)
    return work.done


def compare(done: ReconciledDays, expected: Iterable[Finding], found: Iterable[Finding]) -> None:
    """Compare what was planted with what was found: nothing is missing, and nothing is invented."""
    planted, seen = Counter(expected), Counter(found)
    done.planted = dict(sorted(Counter(klass for klass, _ in planted.elements()).items()))
    done.found = dict(sorted(Counter(klass for klass, _ in seen.elements()).items()))
    for klass, number in sorted((planted - seen).elements()):
        done.broken.append(f"the planted difference {klass} of {number} is not found")
    for klass, number in sorted((seen - planted).elements()):
        done.broken.append(f"the difference {klass} of {number} is found and was not planted")


@dataclass(slots=True)
class _Work:
    platform: app.Platform
    client: Client
    began: datetime
    done: ReconciledDays
    report: Callable[[str], None]
    parties: list[Counterparty] = field(default_factory=list)
    planted_on: Mapping[str, date] = field(default_factory=dict)
    maker: Operator | None = None
    checker: Operator | None = None
    short: date | None = None
    unnoticed: str = ""
    run: set[tuple[str, date]] = field(default_factory=set)

    @property
    def now(self) -> datetime:
        """The present instant of the sandbox."""
        return self.platform.clock.now()

    async def prepare(self) -> None:
        """Add the bank account, unless it is there, and two operators, as an administrator does."""
        number = str((await self.client.call("GET", f"{self.client.sandbox_address}/bank"))["number"])
        new_id, run = self.platform.ids.new, secrets.token_hex(3)

        async def work(tx: db.Tx) -> tuple[Operator, Operator]:
            accounts = await bank.list_accounts(tx)
            if not any((each.number, each.currency) == (number, _CURRENCY) for each in accounts):
                account = bank.BankAccount(new_id(), "Sandbox bank", number, _CURRENCY, self.now)
                await bank.add_account(tx, account, reason="the demonstration")
            keys = [
                await operators.add_operator(
                    tx, operator_id=new_id(), name=f"{name} {run}", role=role, random=secrets.token_urlsafe(32),
                    reason="the demonstration", now=self.now,
                )
                for name, role in (("Demo operator", Role.OPERATOR), ("Demo approver", Role.APPROVER))
            ]  # fmt: skip
            maker, checker = [await operators.authenticate(tx, key) for key in keys]
            return maker, checker

        self.maker, self.checker = await self.platform.database.run(work)
        self.parties = await list_parties(self.platform.reconciliation)

    @property
    def at_channels(self) -> list[Counterparty]:
        """The channel accounts."""
        return [party for party in self.parties if party.rule is not None]

    async def plant(self, finished: Sequence[FinishedPayment]) -> list[Finding]:
        """Let a person refund in a portal unnoticed, and plant differences; return what must be found."""
        expected = await self._refund_unnoticed(finished)
        self.planted_on = {party.name: party.window.day_of(self.now) for party in self.at_channels}
        for party in self.at_channels:
            key = await self._plant_bill(party)
            expected += [(_CLASSES[name], number) for name, number in key]
        self.short = max(party.window.day_of(self.now) for party in self.parties if party.rule is None) + _STEP
        altered = await self._alter_statement(BANK_PLANTED)
        short = [each["true"][0]["reference"] for each in altered if each["class"] == "short"]
        return expected + [("mismatch", alphanumeric(_batch_of(reference))) for reference in short]

    async def _plant_bill(self, party: Counterparty) -> list[Finding]:
        """Plant differences in rows that move money and have none yet."""
        day = self.planted_on[party.name].isoformat()
        for seed in range(_SEEDS):
            answer = await self.client.control(party.channel, "bill", day=day, differences=PLANTED, seed=seed)
            key = [(each["class"], alphanumeric(each["number"])) for each in answer["key"]]
            states = {(each["true"] or each["said"])["state"] for each in answer["key"]}
            if _FAILED not in states and all(number != self.unnoticed for _, number in key):
                return key
        raise Unavailable(f"the bill of {party.channel} has no rows to plant differences in")

    async def _refund_unnoticed(self, finished: Sequence[FinishedPayment]) -> list[Finding]:
        paid = [e for e in finished if e.channel == WECHAT.channel and e.scenario is Scenario.PAID]
        order = next(e for e in paid if e.payment["status"] == "succeeded")
        (attempt,) = (each for each in order.payment["attempts"] if each["state"] == "succeeded")
        refund = await self.client.control(
            WECHAT.channel, "portal", order_no=attempt["id"], amount_minor=1, notify={"lose": 100}
        )
        self.unnoticed = alphanumeric(refund["refund_no"])
        return [("unexpected", self.unnoticed)]

    async def _alter_statement(self, planted: Mapping[str, int]) -> list[dict[str, Any]]:
        assert self.short is not None
        body = {"day": self.short.isoformat(), "currency": _CURRENCY, "differences": planted}
        answer = await self.client.call("POST", f"{self.client.sandbox_address}/control/bank/statement", json=body)
        return list(answer["key"])

    async def move_clock(self, days: int) -> None:
        """Move the sandbox's clock on until the bills of a later day are there."""
        clock = self.platform.sandbox_clock
        assert clock is not None
        before = self.now
        first = {party.name: party.window.day_of(before) for party in self.at_channels}
        target = max(party.ready_at(first[party.name] + timedelta(days - 1)) for party in self.at_channels)
        clock.advance_to(target + _AFTER_HOURS)
        self.done.clock_moved_hours += round((self.now - before) / timedelta(hours=1))

    async def bring_in_bills(self) -> None:
        """Fetch the bills of all days since the beginning, and reconcile each day that has not been reconciled."""
        await asyncio.gather(*(self._bring_in_bills(party) for party in self.at_channels))

    async def _bring_in_bills(self, party: Counterparty) -> None:
        use = self.platform.reconciliation
        for day in _days(party.window.day_of(self.began), party.last_ready_day(self.now)):
            if (party.name, day) in self.run:
                continue
            fetched = await files.fetch_day(use, party, day)
            if fetched.error is not None:
                self.done.broken.append(f"the bill of {party.channel} of {day} has not come: {fetched.error}")
                continue
            await runs.run_day(use, party, day)
            self.run.add((party.name, day))

    async def bring_in_statements(self) -> None:
        """Fetch the bank's statements of all days that are over, and reconcile them."""
        for party in self.parties:
            if party.rule is None and party.currency == _CURRENCY:
                for day in _days(party.window.day_of(self.began), party.window.day_of(self.now) - _STEP):
                    await self._bring_in_statement(party, day)

    async def _bring_in_statement(self, party: Counterparty, day: date) -> None:
        use = self.platform.reconciliation
        url = f"{self.client.sandbox_address}/bank/statements"
        with files.staging(use) as folder:
            path = folder / f"statement-{day}.xml"
            await bank.fetch_statement(url, day, path, currency=party.currency)
            file = await files.receive(use, files.Incoming(party, "camt", path, path.name, day))
            file = await files.read_file(use, file.file_id)
        if file.state is FileState.REFUSED:
            self.done.broken.append(f"the statement of {day} is refused: {file.reason}")
            return
        await runs.run_day(use, party, day)

    async def correct_statement(self) -> None:
        """Let the bank correct its statement, and bring the correction in."""
        await self._alter_statement({})
        await self.bring_in_statements()

    async def _open_cases(self) -> list[Difference]:
        where = differences.DifferenceFilter()
        async with self.platform.database.transaction() as tx:
            return await differences.list_differences(tx, where, limit=_MOST)

    async def find(self) -> list[Finding]:
        """Return the differences that a person has to decide about."""
        return [
            (case.klass.value, alphanumeric(case.key))
            for case in await self._open_cases()
            if case.state is not DifferenceState.ROLLED
        ]

    async def resolve(self) -> None:
        """Propose an action for each difference, approve all by another operator, and ask the channels."""
        platform = self.platform
        decisions = [
            differences.CaseDecision(case.difference_id, action, f"the demonstration: {action}")
            for case in await self._open_cases()
            if case.state is not DifferenceState.ROLLED and (action := self._action(case)) is not None
        ]
        if decisions:
            await self._decide(decisions)
            await differences.drive_approved(platform.database, platform.lifecycle, clock=platform.clock)

    def _action(self, case: Difference) -> DifferenceAction | None:
        """Return what a person decides who knows what is real: the refund in the portal is, what was planted is not."""
        if case.layer is Layer.BATCH_BANK:
            return None  # the bank has to correct its statement
        is_real = alphanumeric(case.key) == self.unnoticed
        return DifferenceAction.ADOPT_REFUND if is_real else DifferenceAction.WRITE_OFF

    async def _decide(self, decisions: Sequence[differences.CaseDecision]) -> None:
        platform, maker, checker = self.platform, self.maker, self.checker
        assert maker is not None
        assert checker is not None
        reason = "the demonstration"
        decided = await platform.database.run(
            lambda tx: differences.decide(
                tx, decisions, operator=maker, reason=reason, now=self.now, new_id=platform.ids.new
            )
        )
        self.done.broken += [f"a decision is refused: {each.reason}" for each in decided.refused]
        if decided.proposal is not None:
            approval = operators.ApprovalDecision(decided.proposal.proposal_id, checker.operator_id, True, reason)
            await platform.database.run(
                lambda tx: operators.conclude(tx, approval, platform.approval_handlers, now=self.now)
            )

    async def check_end(self) -> None:
        """Check that nothing is left open, and that a stranger can compute the same from the original files."""
        done, use = self.done, self.platform.reconciliation
        left = await self._open_cases()
        done.open = len(left)
        done.broken += [
            f"{case.klass.value} of {case.key} in {case.layer.value} is still {case.state}" for case in left
        ]
        async with self.platform.database.transaction() as tx:
            done.broken += await differences.check_suspense(tx)
            for party in self.parties:
                moved = await books.movement_between(tx, _SUSPENSE, party.account_id, since=_FIRST, until=self.now)
                done.suspense_minor += sum(abs(minor) for minor in moved.values())
            if any(row["debits_posted"] != row["credits_posted"] for row in await ledger.trial_balance(tx)):
                done.broken.append("the trial balance does not balance after the reconciliation")
            ended = await differences.list_differences(
                tx, differences.DifferenceFilter(states=(DifferenceState.RESOLVED,)), limit=_MOST
            )
            done.runs = len(await runs.list_runs(tx, limit=_MOST))
            done.files = len(await files.list_files(tx, limit=_MOST))
        done.actions = dict(sorted(Counter(str(case.action) for case in ended).items()))
        if done.suspense_minor:
            done.broken.append(f"{done.suspense_minor} are left in suspense")
        await asyncio.gather(*(self._verify(party, use.config.folder) for party in self.parties))

    async def _verify(self, party: Counterparty, folder: Path) -> None:
        """Compute the kept days of an account again, and read what the last one leaves unexplained."""
        days = sorted(path.parent.name for path in (folder / party.name).glob("*/manifest.json"))
        if not days:
            self.done.broken.append(f"{party.name} has not been reconciled")
            return
        last = date.fromisoformat(days[-1])
        verified = await asyncio.to_thread(verify.verify_day, folder, party.name, last)
        self.done.verified_days += verified.days
        if verified.finding is not None:
            self.done.broken.append(f"{party.name} is not verified: {verified.finding}")
        for part in reports.daily_report(RunFolder(folder, party.name, last))["explained"]:
            self.done.explained[f"{party.channel or 'bank'} {part['currency']}"] = part["explained_percent"]
            if part["unexplained_minor"]:
                self.done.broken.append(f"{part['unexplained_minor']} of {party.channel or 'the bank'} are unexplained")


def _batch_of(reference: str) -> str:
    """Return the key of a batch from the bank's reference of it: SETTLEMENT <merchant> <yyyymmdd>."""
    _, _, rest = reference.partition(" ")
    merchant, _, day = rest.rpartition(" ")
    return f"{merchant}:{day[:4]}-{day[4:6]}-{day[6:]}"


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
