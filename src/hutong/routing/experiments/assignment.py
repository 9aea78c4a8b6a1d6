"""Assignment of payments to the arms of an experiment, and the outcomes of each arm."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from hutong.routing.configuration.configuration import Configuration
from hutong.routing.model import Candidate, Snapshot

_KNOWN_AFTER = timedelta(seconds=5)
"""Earlier attempts may come from a process that did not know of the experiment yet: they are in neither arm."""


class Arm(StrEnum):
    """The configuration by which a payment is routed while an experiment runs."""

    DRAFT = "draft"
    CONTROL = "control"


OutcomeKey = tuple[UUID, Arm, str]
"""An experiment, an arm and a currency."""


@dataclass(slots=True)
class ArmOutcome:
    """The outcomes of an arm's payments in one currency."""

    ended: int = 0
    succeeded: int = 0
    captured_minor: int = 0
    cost_ten_thousandths: int = 0

    def add(self, other: ArmOutcome) -> None:
        """Add further outcomes to these."""
        self.ended += other.ended
        self.succeeded += other.succeeded
        self.captured_minor += other.captured_minor
        self.cost_ten_thousandths += other.cost_ten_thousandths


@dataclass(frozen=True, slots=True)
class RunningExperiment:
    """An experiment as processes apply it.

    Attributes:
        share: The part of the payments that the draft routes.
        configuration: The draft.
    """

    experiment_id: UUID
    share: float
    started_at: datetime
    configuration: Configuration

    def arm(self, payment_id: UUID | None) -> Arm:
        """Return the arm of a payment: the same in every process and for all attempts of the payment."""
        if payment_id is None:
            return Arm.CONTROL
        digest = hashlib.blake2b(self.experiment_id.bytes + payment_id.bytes, digest_size=8).digest()
        return Arm.DRAFT if int.from_bytes(digest) < self.share * 2**64 else Arm.CONTROL

    def counts(self, created_at: datetime) -> bool:
        """Return whether an attempt is part of the experiment."""
        return created_at >= self.started_at + _KNOWN_AFTER

    def apply(self, snapshot: Snapshot, accounts: Mapping[UUID, Candidate], product: str) -> Snapshot:
        """Return the same snapshot under the draft.

        Args:
            accounts: The accounts with the draft applied.
        """
        candidates = tuple(
            replace(accounts[each.account_id], health=each.health, probe_due=each.probe_due)
            for each in snapshot.candidates
        )
        return replace(snapshot, candidates=candidates, policy=self.configuration.policy(product))
