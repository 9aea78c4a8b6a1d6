"""Cases as persons work on them: lists and their counters, one case with its history, and its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hutong import db, ids, operators
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.reconciliation.differences import store
from hutong.reconciliation.differences.store import CaseEntry
from hutong.reconciliation.model import (
    DIFFERENCE_PREFIX,
    Difference,
    DifferenceClass,
    DifferenceState,
    Layer,
)
from hutong.reconciliation.statements import sql

ASSIGNABLE = frozenset(DifferenceState) - {DifferenceState.ROLLED, DifferenceState.RESOLVED}
BULK_MAX = 20_000
"""The most cases that one list of decisions may name."""


@dataclass(frozen=True, slots=True)
class DifferenceFilter:
    """What differences are selected by; None narrows nothing down.

    Attributes:
        states: Without them, everything that is not resolved.
        unowned: Only those without an owner.
        at_least, at_most: Bounds of the amount without its sign, in minor units.
        first_until: Only those that were first stated on or before this day: the old ones.
        last_day: Only those that a run has stated for this day last.
        key: The key or the reference.
    """

    account_id: UUID | None = None
    layer: Layer | None = None
    klass: DifferenceClass | None = None
    states: tuple[DifferenceState, ...] | None = None
    owner_id: UUID | None = None
    unowned: bool = False
    currency: str | None = None
    at_least: int | None = None
    at_most: int | None = None
    first_until: date | None = None
    last_day: date | None = None
    key: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statements that select by it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DifferenceCount:
    """One counter: differences of a layer, class, state and currency. Long and short stand apart."""

    layer: Layer
    klass: DifferenceClass
    state: DifferenceState
    currency: str
    count: int
    long_minor: int
    short_minor: int
    suspense_long_minor: int
    suspense_short_minor: int
    oldest_day: date


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step of a difference's history, with its time."""

    at: datetime
    difference_id: UUID
    what: str
    by: str
    reason: str | None
    amount_minor: int | None
    voucher: UUID | None


_COUNT_COLUMNS = tuple(DifferenceCount.__dataclass_fields__)
_read_count = db.reader(DifferenceCount, _COUNT_COLUMNS)
_read_history = db.reader(HistoryEntry, ("at", *sql["difference_entry"]))


async def list_differences(
    tx: db.Tx, where: DifferenceFilter, *, before: UUID | None = None, limit: int = 20
) -> list[Difference]:
    """Return what a filter selects, newest first."""
    rows = await sql.list_differences.fetch(tx, before=before, limit=limit, **where.parameters)
    return [store.read(row) for row in rows]


async def list_all_differences(tx: db.Tx, where: DifferenceFilter) -> list[Difference]:
    """Return all that a filter selects, newest first.

    Errors:
        InvalidParameter: the filter selects more than one list may have.
    """
    selected = await list_differences(tx, where, limit=BULK_MAX + 1)
    if len(selected) > BULK_MAX:
        raise InvalidParameter(f"the filter selects more than {BULK_MAX} differences; narrow it down", param="filter")
    return selected


async def count_differences(tx: db.Tx, where: DifferenceFilter) -> list[DifferenceCount]:
    """Count what the same filter lists."""
    return [_read_count(row) for row in await sql.count_differences.fetch(tx, **where.parameters)]


async def find_difference(tx: db.Tx, difference_id: UUID) -> Difference:
    """Return one difference.

    Errors:
        NotFound: there is no such difference.
    """
    row = await sql.find_differences.fetchrow(tx, difference_ids=[difference_id])
    if row is None:
        raise NotFound("no difference has this id")
    return store.read(row)


async def history(tx: db.Tx, difference_id: UUID) -> list[HistoryEntry]:
    """Return what has happened to a difference, in order."""
    return [_read_history(row) for row in await sql.difference_history.fetch(tx, difference_id=difference_id)]


async def lock(tx: db.Tx, difference_ids: Sequence[UUID]) -> dict[UUID, Difference]:
    """Return differences by id, locked in one order."""
    rows = await sql.lock_differences.fetch(tx, difference_ids=sorted(set(difference_ids)))
    return {case.difference_id: case for case in map(store.read, rows)}


async def assign(
    tx: db.Tx,
    difference_ids: Sequence[UUID],
    owner_id: UUID,
    *,
    operator: operators.Operator,
    reason: str,
    now: datetime,
    request_id: str | None = None,
) -> list[Difference]:
    """Give cases an owner; a case of somebody else may be taken over.

    Effects:
        Writes the history and one audit entry for each case.

    Repeat:
        A case that has this owner stays as it is.

    Returns:
        The cases, in the order of their ids.

    Errors:
        NotFound: no such difference, or no operator who may act has the owner's id. Conflict: one waits for the next
            file, or is resolved. NotPermitted: the person is a viewer, or a layer is not among their duties or those
            of the owner.
    """
    operators.require(operator, operators.Role.OPERATOR)
    operators.check_reason(reason)
    if len(difference_ids) > BULK_MAX:
        raise InvalidParameter(f"`ids` must have at most {BULK_MAX} entries", param="ids")
    owner = (await operators.find_operators(tx, [owner_id])).get(owner_id)
    if owner is None or owner.disabled_at is not None or not owner.role.covers(operators.Role.OPERATOR):
        raise NotFound("no operator who may act has the id of the owner")
    cases = await lock(tx, difference_ids)
    if missing := set(difference_ids) - cases.keys():
        raise NotFound(f"no difference has the id {ids.encode(DIFFERENCE_PREFIX, min(missing))}")
    for case in cases.values():
        if case.state not in ASSIGNABLE:
            name = ids.encode(DIFFERENCE_PREFIX, case.difference_id)
            raise Conflict(f"the difference {name} is {case.state} and takes no owner")
        operators.require_duty(operator, case.layer)
        operators.require_duty(owner, case.layer)
    by, whose = (ids.encode(operators.OPERATOR_PREFIX, person) for person in (operator.operator_id, owner_id))
    changed = [_owned(case, owner_id) for case in cases.values() if case.owner_id != owner_id]
    await store.advance(tx, changed)
    entries = [CaseEntry(case.difference_id, "assigned", by, f"{whose}: {reason}") for case in changed]
    await store.write_history(tx, entries, now=now)
    audited = [
        operators.AuditEntry(
            operator.operator_id,
            "difference.assign",
            "difference",
            ids.encode(DIFFERENCE_PREFIX, case.difference_id),
            reason,
            after={"owner": whose},
            request_id=request_id,
        )
        for case in changed
    ]
    await operators.audit(tx, audited, now=now)
    return [_owned(case, owner_id) for case in cases.values()]


def _owned(case: Difference, owner_id: UUID) -> Difference:
    state = DifferenceState.ASSIGNED if case.state is DifferenceState.OPEN else case.state
    return replace(case, owner_id=owner_id, state=state)
