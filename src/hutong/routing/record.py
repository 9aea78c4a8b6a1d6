"""A decision as it is kept with its attempt: small, and enough to make it again exactly.

What accounts can do changes seldom and is kept once, as a basis named by its hash; what changes from payment to payment
is in the record itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from hutong.routing.choose import choose
from hutong.routing.health import Health
from hutong.routing.model import Ask, Candidate, Decision, Draws, How, Policy, Snapshot, Verdict


@dataclass(frozen=True, slots=True)
class Moment:
    """What was known of one account when a decision was made.

    Attributes:
        health: By institution, as `Candidate.health`.
    """

    account_id: UUID
    health: dict[str, Health]
    probe_due: bool
    month_minor: int
    subsidy_left_minor: int
    blocked: str


@dataclass(frozen=True, slots=True)
class Record:
    """A decision with all that it depended on.

    Attributes:
        basis: The hash of what the accounts could do.
        version: The configuration in force.
    """

    ask: Ask
    draws: Draws
    version: int
    basis: str
    pin: str
    pin_until: datetime | None
    moments: tuple[Moment, ...]
    chosen: UUID | None
    how: How
    verdicts: tuple[Verdict, ...]


_RECORD = TypeAdapter(Record)
_BASIS = TypeAdapter(tuple[Candidate, ...])


def basis_of(candidates: tuple[Candidate, ...]) -> tuple[str, str]:
    """The hash of what accounts can do, and what it is the hash of."""
    lasting = tuple(_lasting(candidate) for candidate in candidates)
    # Sets come in any order; what is equal must have one hash in every process.
    document = orjson.dumps(lasting, default=_plain, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(document).hexdigest()[:32], document.decode()


def _plain(value: object) -> object:
    return str(value) if isinstance(value, UUID) else sorted(value)  # type: ignore[call-overload]


def read_basis(document: str) -> tuple[Candidate, ...]:
    """What accounts could do."""
    return _BASIS.validate_json(document)


def write_record(ask: Ask, snapshot: Snapshot, decision: Decision, basis: str) -> str:
    """A decision as text, to be kept."""
    moments = [
        {
            "account_id": each.account_id,
            "health": each.health,
            "probe_due": each.probe_due,
            "month_minor": each.month_minor,
            "subsidy_left_minor": each.price.subsidy_left_minor,
            "blocked": each.blocked,
        }
        for each in snapshot.candidates
    ]
    record = {
        "ask": ask,
        "draws": decision.draws,
        "version": decision.policy_version,
        "basis": basis,
        "pin": snapshot.pin,
        "pin_until": snapshot.pin_until,
        "moments": moments,
        "chosen": decision.chosen,
        "how": decision.how,
        "verdicts": decision.verdicts,
    }
    return orjson.dumps(record, default=_plain).decode()


def read_record(text: str) -> Record:
    """A record that was kept."""
    return _RECORD.validate_json(text)


def snapshot_of(record: Record, basis: tuple[Candidate, ...], policy: Policy) -> Snapshot:
    """All that a decision depended on, put together again."""
    lasting = {candidate.account_id: candidate for candidate in basis}
    candidates = tuple(
        replace(
            lasting[moment.account_id],
            health=moment.health,
            probe_due=moment.probe_due,
            month_minor=moment.month_minor,
            price=replace(lasting[moment.account_id].price, subsidy_left_minor=moment.subsidy_left_minor),
            blocked=moment.blocked,
        )
        for moment in record.moments
    )
    return Snapshot(candidates, policy, record.pin, record.pin_until)


def again(record: Record, basis: tuple[Candidate, ...], policy: Policy) -> Decision:
    """Make a decision again: with the same policy it is the same, with another one it shows what would change."""
    return choose(record.ask, snapshot_of(record, basis, policy), record.draws)


def _lasting(candidate: Candidate) -> Candidate:
    price = replace(candidate.price, subsidy_left_minor=0)
    return replace(candidate, health={}, probe_due=False, month_minor=0, blocked="", price=price)
