"""Bringing in what a run has found: new differences open, changed ones re-open, matched ones end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hutong import db, ledger
from hutong.reconciliation.differences import store
from hutong.reconciliation.differences.found import Found, Identity, base_key, merge
from hutong.reconciliation.differences.store import CaseEntry
from hutong.reconciliation.differences.suspense import BookedCase, book, end_case, open_case
from hutong.reconciliation.model import (
    Difference,
    DifferenceAction,
    DifferenceClass,
    DifferenceState,
    Layer,
    RowSide,
)
from hutong.reconciliation.statements import sql

EXPLAINED = "explained by a later file or booking"
"""The reason of a difference that a match has ended."""


@dataclass(frozen=True, slots=True)
class RecordedDifferences:
    """How many differences a run has opened, re-opened, changed and resolved, and how many rows wait."""

    opened: int = 0
    reopened: int = 0
    changed: int = 0
    resolved: int = 0
    waiting: int = 0


async def record(
    tx: db.Tx,
    *,
    account_id: UUID,
    day: date,
    layer: Layer,
    rows: Iterable[Mapping[str, Any]],
    matched_late: Collection[str],
    now: datetime,
    new_id: Callable[[], UUID],
) -> RecordedDifferences:
    """Bring in the differences of one layer of an account's day, in a few statements however many they are.

    Args:
        rows: All that the run has found, with the columns of `matching.model.DIFFERENCE_COLUMNS`.
        matched_late: The keys of pairs of which a row is of an earlier day. Only with this evidence, or with another
            difference of its key, is a difference of an earlier day taken as explained.

    Effects:
        Writes the differences and their history; moves money into suspense for cases that open, and out of it for
        those that a match has explained. A case that changes while it is proposed loses its proposal.

    Repeat:
        The same rows again change nothing; a run of an earlier day leaves alone what a later one has stated.

    Errors:
        As `ledger.book`.
    """
    found = merge(rows)
    await sql.lock_account_differences.execute(tx, account_id)
    known_rows = await sql.known_differences.fetch(tx, account_id=account_id, layer=layer, rows=found)
    known: dict[Identity, Difference] = {
        (case.side, case.key, case.klass, case.column): case for case in map(store.read, known_rows)
    }
    changes = _Changes(account_id, day, Layer(layer), now, new_id)
    for each in found:
        case = known.get(each.identity)
        if case is None:
            changes.add(each)
        else:
            changes.report(case, each)
    reported, keys = {each.identity for each in found}, {each.key for each in found} | set(matched_late)
    for identity, case in known.items():
        if identity not in reported and case.state is not DifferenceState.RESOLVED:
            changes.miss(case, has_partner=not keys.isdisjoint((case.key, base_key(case.key))))
    await store.insert(tx, changes.new)
    await store.update(tx, changes.updated)
    await store.write_history(tx, changes.entries, now=now)
    await book(tx, changes.chains, now=now)
    counts = changes.counts
    waiting = sum(each.waits for each in found)
    return RecordedDifferences(counts["opened"], counts["reopened"], counts["changed"], counts["matched"], waiting)


@dataclass(slots=True)
class _Changes:
    """What is written at the end, in order."""

    account_id: UUID
    day: date
    layer: Layer
    now: datetime
    new_id: Callable[[], UUID]
    new: list[Difference] = field(default_factory=list)
    updated: list[Difference] = field(default_factory=list)
    entries: list[CaseEntry] = field(default_factory=list)
    chains: list[ledger.Chain | None] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("opened", "reopened", "changed", "matched", "rolled"), 0)
    )

    def add(self, found: Found) -> None:
        """Take a difference that no run has found before."""
        case = Difference(
            difference_id=self.new_id(),
            account_id=self.account_id,
            layer=self.layer,
            side=RowSide(found.side),
            key=found.key,
            klass=DifferenceClass(found.klass),
            column=found.column,
            state=DifferenceState.ROLLED,
            content=found.content,
            currency=found.currency,
            amount_minor=found.amount_minor,
            suspense_minor=0,
            cost_minor=0,
            postings=0,
            ours=found.ours,
            theirs=found.theirs,
            reference=found.reference,
            first_day=self.day,
            last_day=self.day,
            opened_at=self.now,
        )
        if found.waits:
            self.new.append(self._note(BookedCase(case), "rolled", case.amount_minor))
        else:
            self.new.append(self._open(case, "opened"))

    def report(self, case: Difference, found: Found) -> None:
        """Take a difference that is known, as it is stated now."""
        if case.last_day > self.day:
            return  # a later day has stated it since, from newer files
        is_same = case.content == found.content
        if case.state is DifferenceState.RESOLVED:
            # What a person has ended stays ended; a match of this very day may not hold with other files.
            if not is_same or case.action is DifferenceAction.MATCH:
                self._reopen(case, found)
            return
        if case.state is DifferenceState.ROLLED and not found.waits:
            self.updated.append(self._open(self._figures(case, found), "opened"))
        elif not is_same and case.state is DifferenceState.ROLLED:
            self.updated.append(self._note(BookedCase(self._figures(case, found)), "changed", found.amount_minor))
        elif not is_same:
            self._change(case, found)
        elif case.last_day < self.day:
            self.updated.append(self._figures(case, found))

    def miss(self, case: Difference, *, has_partner: bool) -> None:
        """End a difference that is not stated any more, if that proves that it is explained."""
        if case.last_day > self.day or (case.last_day < self.day and not has_partner):
            return
        ended = end_case(
            case,
            state=DifferenceState.RESOLVED,
            action=DifferenceAction.MATCH,
            last_day=self.day,
            proposal_id=None,
            resolved_at=self.now,
            reason=EXPLAINED if has_partner else "the files do not state it any more",
        )
        self.updated.append(self._note(ended, "matched", -case.suspense_minor))

    def _figures(self, case: Difference, found: Found) -> Difference:
        return replace(
            case,
            content=found.content,
            currency=found.currency,
            amount_minor=found.amount_minor,
            ours=found.ours,
            theirs=found.theirs,
            reference=found.reference,
            last_day=self.day,
        )

    def _open(self, case: Difference, what: str) -> Difference:
        opened = open_case(case, state=DifferenceState.OPEN)
        return self._note(opened, what, opened.case.suspense_minor)

    def _reopen(self, case: Difference, found: Found) -> None:
        again = replace(
            self._figures(case, found),
            state=DifferenceState.ROLLED,
            reopened=case.reopened + 1,
            action=None,
            proposal_id=None,
            partner_id=None,
            voucher=None,
            resolved_at=None,
            reason=None,
        )
        if found.waits:
            self.updated.append(self._note(BookedCase(again), "reopened", again.amount_minor))
        else:
            self.updated.append(self._open(again, "reopened"))

    def _change(self, case: Difference, found: Found) -> None:
        """Book an open case of other figures: all of the old ones out of suspense, all of the new ones into it."""
        ended = end_case(case)
        state = DifferenceState.OPEN if case.owner_id is None else DifferenceState.ASSIGNED
        opened = open_case(self._figures(ended.case, found), state=state, action=None, proposal_id=None)
        self.chains.append(ended.chain)
        self.updated.append(self._note(opened, "changed", opened.case.suspense_minor))

    def _note(self, booked: BookedCase, what: str, amount_minor: int) -> Difference:
        case = booked.case
        self.counts[what] += 1
        self.chains.append(booked.chain)
        self.entries.append(CaseEntry(case.difference_id, what, amount_minor=amount_minor, voucher=booked.voucher))
        return case
