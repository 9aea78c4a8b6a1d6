"""Where operators confirm each switch: what health suggests, what they say to it, and how it takes effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg

from hutong import db, operators
from hutong.errors import NotFound
from hutong.routing.configuration.overrides import Kind, Override, insert_override, standing_overrides
from hutong.routing.health import Health, State
from hutong.routing.model import Mode
from hutong.routing.process_state import RoutingState
from hutong.routing.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)

SUGGESTION_PREFIX = "rts"
Place = tuple[str, str]
"""An account by its name, and an interface."""


class What(StrEnum):
    """What is suggested."""

    LEAVE = "leave"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A switch, or a switch back, that waits for an operator.

    Attributes:
        why: With the figures.
        since: Since when health says so.
        dismissed_at: An operator does not want it; it does not come again while health says the same.
    """

    suggestion_id: UUID
    what: What
    account: str
    interface: str
    why: str
    since: datetime
    suggested_at: datetime
    dismissed_at: datetime | None = None


async def suggest(tx: db.Tx, live: RoutingState, *, now: datetime, new_id: Callable[[], UUID]) -> list[Suggestion]:
    """Write down what health says now where operators confirm; withdraw what it no longer says.

    Effects:
        Each new one is logged, since somebody has to look.

    Repeat:
        What stands is not written again.

    Returns:
        The new ones.
    """
    if live.shared_at is None:
        return []  # what this process knows of health by itself is not all
    standing = await standing_suggestions(tx)
    left = {(one.account, one.interface) for one in await standing_overrides(tx, now=now) if one.kind is Kind.LEAVE}
    said = _said(live, left, now) if _confirms(live) else {}
    ended = [one.suggestion_id for one in standing if one.what not in said.get((one.account, one.interface), {})]
    if ended:
        await sql.end_suggestions.execute(tx, ended, now)
    kept = {(one.account, one.interface) for one in standing if one.suggestion_id not in ended}
    wanted = [
        Suggestion(new_id(), what, *place, why, health.since or now, now)
        for place, whats in said.items()
        if place not in kept
        for what, (health, why) in whats.items()
        if why
    ]
    if not wanted:
        return []
    added = {row["id"] for row in await _add(tx, wanted, now)}
    new = [one for one in wanted if one.suggestion_id in added]
    for one in new:
        _log.warning("routing_suggested", what=one.what, account=one.account, interface=one.interface, why=one.why)
    return new


async def standing_suggestions(tx: db.Tx) -> list[Suggestion]:
    """What waits for an operator, and what was dismissed and is still what health says; oldest first."""
    return [_suggestion(row) for row in await sql.standing_suggestions.fetch(tx)]


async def decide_suggestion(
    tx: db.Tx,
    suggestion_id: UUID,
    *,
    confirm: bool,
    operator_id: UUID,
    reason: str,
    override_id: UUID,
    now: datetime,
    request_id: str | None = None,
) -> Suggestion:
    """Confirm a suggestion, so that every process goes by it within two seconds, or dismiss it. One person is enough:
    in an outage there is no time for two.

    Args:
        override_id: For the leave that a confirmation makes.

    Effects:
        Writes one audit entry.

    Errors:
        NotFound: there is none, it was decided, or health no longer says so.
        InvalidParameter: a blank reason.
    """
    operators.check_reason(reason)
    decision = "confirmed" if confirm else "dismissed"
    row = await sql.decide_suggestion.fetchrow(tx, suggestion_id, decision, operator_id, now, reason)
    if row is None:
        raise NotFound("no suggestion that waits has this id")
    found = _suggestion(row)
    if confirm and found.what is What.LEAVE:
        leave = Override(
            override_id, Kind.LEAVE, "", found.account, None, reason, operator_id, now, interface=found.interface
        )
        await insert_override(tx, leave)
    elif confirm:
        await sql.lift_leave.execute(tx, found.account, found.interface, now)
    entry = operators.AuditEntry(
        operator_id,
        f"routing.{found.what}" if confirm else "routing.dismiss",
        "routing",
        found.account,
        reason,
        after={"suggestion": found.what, "interface": found.interface, "why": found.why},
        request_id=request_id,
    )
    await operators.audit(tx, [entry], now=now)
    return found


def _confirms(live: RoutingState) -> bool:
    return any(policy.mode is Mode.SUGGEST for policy in live.configuration.policies.values())


def _said(live: RoutingState, left: Iterable[Place], now: datetime) -> dict[Place, dict[What, tuple[Health, str]]]:
    """What health says of each place: what may stand, and why where it is to be said anew."""
    names = {candidate.account_id: candidate.name for candidate in live.candidates}
    ids = {name: account_id for account_id, name in names.items()}
    gone = set(left)
    places = {(names[account_id], interface) for account_id, interface in live.router.known()}
    places |= {place for place in gone if place[0] in ids}
    found: dict[Place, dict[What, tuple[Health, str]]] = {}
    for name, interface in sorted(places):
        health = live.router.health(ids[name], now, interface)
        if (name, interface) in gone:
            if health.state is State.HEALTHY:
                why = f"its tries have gone well again; estimated success {health.success:.0%}"
                found[name, interface] = {What.RETURN: (health, why)}
        elif health.state in (State.OPEN, State.PROBING):
            # One that is tried again keeps what was said of it, and nothing new is said.
            why = f"{health.faults} of its last {health.seen} tries failed technically"
            found[name, interface] = {What.LEAVE: (health, why if health.state is State.OPEN else "")}
    return found


async def _add(tx: db.Tx, wanted: list[Suggestion], now: datetime) -> list[asyncpg.Record]:
    return await sql.add_suggestions.fetch(
        tx,
        [one.suggestion_id for one in wanted],
        [one.what for one in wanted],
        [one.account for one in wanted],
        [one.interface for one in wanted],
        [one.why for one in wanted],
        [one.since for one in wanted],
        now,
    )


def _suggestion(row: asyncpg.Record) -> Suggestion:
    return Suggestion(
        row["id"],
        What(row["what"]),
        row["account"],
        row["interface"],
        row["why"],
        row["since"],
        row["suggested_at"],
        row["decided_at"],
    )
