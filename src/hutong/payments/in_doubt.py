"""Attempts in doubt: how many, how old, which; each is reported once at each age, and none is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from prometheus_client import Gauge

from hutong import db, ids
from hutong.payments.model import AttemptState, PollingPolicy
from hutong.payments.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_IN_DOUBT = Gauge("hutong_attempts_in_doubt", "Attempts whose channel owes us a word, by how long it does.", ["age"])
_REFUNDS = Gauge("hutong_refunds_in_doubt", "Refunds whose outcome a channel owes us, by how long it does.", ["age"])

AGES = (
    ("under 1 min", timedelta(0)),
    ("1 to 5 min", timedelta(minutes=1)),
    ("5 min to 1 h", timedelta(minutes=5)),
    ("1 h to 1 day", timedelta(hours=1)),
    ("over 1 day", timedelta(days=1)),
)
_REPORTED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class AttemptInDoubt:
    """One attempt whose channel owes us a word."""

    attempt_id: UUID
    payment_id: UUID
    channel: str
    method: str
    state: AttemptState
    since: datetime
    next_query_at: datetime
    channel_code: str | None


async def list_attempts_in_doubt(tx: db.Tx, *, limit: int = 100) -> list[AttemptInDoubt]:
    """The attempts in doubt, oldest doubt first."""
    return [
        AttemptInDoubt(
            row["id"], row["payment_id"], row["channel"], row["method"], AttemptState(row["state"]),
            row["doubt_since"], row["next_query_at"], row["channel_code"],
        )
        for row in await sql.list_attempts_in_doubt.fetch(tx, limit)
    ]  # fmt: skip


async def report_attempts_in_doubt(tx: db.Tx, *, now: datetime, policy: PollingPolicy) -> dict[str, int]:
    """Count what is in doubt, attempts and refunds, and report what has reached an age at which a person should look.

    Effects:
        Sets the gauges; logs `attempt_in_doubt` once for each attempt and age.

    Returns:
        How many attempts there are, by age.
    """
    starts = [now - age for _, age in reversed(AGES[1:])]
    found = _by_age({row["bucket"]: row["attempts"] for row in await sql.count_doubts.fetch(tx, starts)})
    refunds = _by_age({row["bucket"]: row["refunds"] for row in await sql.count_open_refunds.fetch(tx, starts)})
    for name in found:
        _IN_DOUBT.labels(name).set(found[name])
        _REFUNDS.labels(name).set(refunds[name])
    for level, age in reversed(list(enumerate(policy.doubt_alarms, 1))):
        for row in await sql.claim_doubt_alarms.fetch(tx, now - age, level, _REPORTED_AT_ONCE):
            _log.error(
                "attempt_in_doubt",
                attempt=ids.encode("att", row["id"]),
                channel=row["channel"],
                state=row["state"],
                age_s=int((now - row["doubt_since"]).total_seconds()),
            )
    return found


def _by_age(counts: Mapping[int, int]) -> dict[str, int]:
    """Counts by the names of the ages; the buckets are numbered from the oldest on."""
    return {name: counts.get(len(AGES) - position, 0) for position, (name, _) in enumerate(AGES)}
