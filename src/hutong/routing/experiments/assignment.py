"""Which of a trial's arms a payment belongs to, and what has come of those that are over."""

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
"""Tries made sooner may come from a process that did not know of the trial yet: they are in neither arm."""


class Arm(StrEnum):
    """By which configuration a payment is routed while a draft is tried."""

    DRAFT = "draft"
    CONTROL = "control"


@dataclass(slots=True)
class Outcome:
    """What has come of an arm's payments in one currency."""

    ended: int = 0
    succeeded: int = 0
    captured_minor: int = 0
    cost_ten_thousandths: int = 0

    def join(self, other: Outcome) -> None:
        """Add another one up with this one."""
        self.ended += other.ended
        self.succeeded += other.succeeded
        self.captured_minor += other.captured_minor
        self.cost_ten_thousandths += other.cost_ten_thousandths


@dataclass(frozen=True, slots=True)
class Running:
    """A trial as a process goes by it.

    Attributes:
        share: The part of the payments that the draft routes.
        configuration: The draft.
    """

    trial_id: UUID
    share: float
    started_at: datetime
    configuration: Configuration

    def arm(self, payment_id: UUID | None) -> Arm:
        """A payment's arm: always the same, in every process, whatever its tries."""
        if payment_id is None:
            return Arm.CONTROL
        digest = hashlib.blake2b(self.trial_id.bytes + payment_id.bytes, digest_size=8).digest()
        return Arm.DRAFT if int.from_bytes(digest) < self.share * 2**64 else Arm.CONTROL

    def counts(self, created_at: datetime) -> bool:
        """Whether a try belongs to the trial."""
        return created_at >= self.started_at + _KNOWN_AFTER

    def over(self, snapshot: Snapshot, base: Mapping[UUID, Candidate], product: str) -> Snapshot:
        """The same moment under the draft.

        Args:
            base: The accounts with what the draft says of them.
        """
        candidates = tuple(
            replace(base[each.account_id], health=each.health, probe_due=each.probe_due) for each in snapshot.candidates
        )
        return replace(snapshot, candidates=candidates, policy=self.configuration.policy(product))
