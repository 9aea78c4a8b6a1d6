"""A decision as it is kept with its attempt: small, and enough to make it again exactly.

What accounts can do changes seldom and is kept once, as a basis named by its hash; what changes from payment to payment
is in the record itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from hutong.routing.configuration.configuration import Configuration
from hutong.routing.experiments.assignment import Arm
from hutong.routing.health import Health
from hutong.routing.model import (
    Candidate,
    Decision,
    Draws,
    Evaluation,
    RoutingPolicy,
    RoutingRequest,
    SelectionReason,
    Snapshot,
)


@dataclass(frozen=True, slots=True)
class AccountState:
    """What was known of one account when a decision was made.

    Attributes:
        health: By institution, as `Candidate.health`.
        subsidy_left_minor: In records from before what was used was kept.
    """

    account_id: UUID
    health: dict[str, Health]
    probe_due: bool
    month_minor: int
    blocked: str
    month_subsidy_minor: int = 0
    left: frozenset[str] = frozenset()
    subsidy_left_minor: int | None = None
    month_minor_of: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A decision with all that it depended on.

    Attributes:
        basis: The hash of what the accounts could do.
        version: The configuration in force.
        trial, arm: The draft that was being tried, and whether it decided.
        formula: How factors became the score; empty in records from before it was kept.
    """

    ask: RoutingRequest
    draws: Draws
    version: int
    basis: str
    pin: str
    pin_until: datetime | None
    moments: tuple[AccountState, ...]
    chosen: UUID | None
    how: SelectionReason
    verdicts: tuple[Evaluation, ...]
    trial: UUID | None = None
    arm: Arm | None = None
    formula: str = ""


Base = Mapping[UUID, Candidate]
_RECORD = TypeAdapter(Record)
_BASIS = TypeAdapter(tuple[Candidate, ...])


def basis_of(candidates: tuple[Candidate, ...]) -> tuple[str, str]:
    """The hash of what accounts can do, and what it is the hash of.

    Args:
        candidates: As their adapters describe them: what operators say of them is in the configuration.
    """
    # Sets come in any order; what is equal must have one hash in every process.
    document = orjson.dumps(candidates, default=_plain, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(document).hexdigest()[:32], document.decode()


def _plain(value: object) -> object:
    return str(value) if isinstance(value, UUID) else sorted(value)  # type: ignore[call-overload]


def read_basis(document: str) -> tuple[Candidate, ...]:
    """What accounts could do."""
    return _BASIS.validate_json(document)


def write_record(
    ask: RoutingRequest,
    snapshot: Snapshot,
    decision: Decision,
    basis: str,
    *,
    trial: UUID | None = None,
    arm: Arm | None = None,
) -> str:
    """A decision as text, to be kept."""
    moments = [
        {
            "account_id": each.account_id,
            "health": each.health,
            "probe_due": each.probe_due,
            "month_minor": each.month_minor,
            "month_minor_of": each.month_minor_of,
            "month_subsidy_minor": each.month_subsidy_minor,
            "blocked": each.blocked,
            "left": each.left,
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
        "trial": trial,
        "arm": arm,
        "formula": snapshot.policy.formula,
    }
    return orjson.dumps(record, default=_plain).decode()


def read_record(text: str) -> Record:
    """A record that was kept."""
    return _RECORD.validate_json(text)


def base_of(basis: tuple[Candidate, ...], configuration: Configuration) -> Base:
    """The accounts of a basis with what a configuration says of them, by their ids."""
    return {candidate.account_id: configuration.configured(candidate) for candidate in basis}


def snapshot_of(record: Record, base: Base, policy: RoutingPolicy) -> Snapshot:
    """All that a decision depended on, put together again."""
    return Snapshot(
        tuple(_at(base[moment.account_id], moment) for moment in record.moments), policy, record.pin, record.pin_until
    )


def _at(candidate: Candidate, moment: AccountState) -> Candidate:
    price = candidate.price.after_subsidies(moment.month_subsidy_minor)
    if moment.subsidy_left_minor is not None:
        price = replace(price, subsidy_left_minor=moment.subsidy_left_minor)
    return replace(
        candidate,
        health=moment.health,
        probe_due=moment.probe_due,
        month_minor=moment.month_minor,
        month_minor_of=moment.month_minor_of,
        month_subsidy_minor=moment.month_subsidy_minor,
        price=price,
        blocked=moment.blocked,
        left=moment.left,
    )
