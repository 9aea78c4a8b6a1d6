"""Suggestions: where operators confirm each switch, the switches that health suggests and how they are decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from hutong import db, operators
from hutong.errors import NotFound
from hutong.routing.configuration.overrides import Override, OverrideKind, active_overrides, insert_override
from hutong.routing.health import AccountHealth, HealthState
from hutong.routing.model import Mode
from hutong.routing.process_state import RoutingState
from hutong.routing.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)

Interface = tuple[str, str]
"""An account's name and one of its interfaces."""


class SuggestionKind(StrEnum):
    """What a suggestion proposes."""

    LEAVE = "leave"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A switch, or a switch back, that an operator has to decide on.

    Attributes:
        why: The reason, with figures.
        since: Since when health has called for it.
        dismissed_at: When an operator dismissed it; it is not repeated while health stays the same.
    """

    PREFIX: ClassVar[str] = "rts"

    suggestion_id: UUID
    what: SuggestionKind
    account: str
    interface: str
    why: str
    since: datetime
    suggested_at: datetime
    dismissed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Switch:
    """A switch that health calls for now.

    Attributes:
        why: Empty if an existing suggestion stays, but no new one is made.
    """

    what: SuggestionKind
    health: AccountHealth
    why: str


async def suggest(tx: db.Tx, state: RoutingState, *, now: datetime, new_id: Callable[[], UUID]) -> list[Suggestion]:
    """Record the switches that health calls for where operators confirm them; withdraw those it no longer calls for.

    Effects:
        Each new suggestion is logged, since an operator has to look at it.

    Repeat:
        An open suggestion is not written again.

    Returns:
        The new suggestions.
    """
    if not state.is_synced:
        return []  # without the results of other processes this process does not know enough to withdraw anything
    open_suggestions = await list_suggestions(tx)
    overrides = await active_overrides(tx, now=now)
    left = {(each.account, each.interface) for each in overrides if each.kind is OverrideKind.LEAVE}
    switches = _switches(state, left, now) if _operators_confirm(state) else {}
    ended: set[UUID] = set()
    kept: set[Interface] = set()
    for each in open_suggestions:
        interface = each.account, each.interface
        switch = switches.get(interface)
        if switch is None or switch.what is not each.what:
            ended.add(each.suggestion_id)
        else:
            kept.add(interface)
    if ended:
        await sql.end_suggestions.execute(tx, list(ended), now)
    candidates = [
        Suggestion(new_id(), switch.what, *interface, switch.why, switch.health.since or now, now)
        for interface, switch in switches.items()
        if interface not in kept and switch.why
    ]
    if not candidates:
        return []
    added = {row["id"] for row in await sql.add_suggestions.fetch(tx, rows=candidates)}
    new = [suggestion for suggestion in candidates if suggestion.suggestion_id in added]
    for each in new:
        _log.warning("routing_suggested", what=each.what, account=each.account, interface=each.interface, why=each.why)
    return new


async def list_suggestions(tx: db.Tx) -> list[Suggestion]:
    """Return the suggestions that health still calls for, open or dismissed, oldest first."""
    return [_read_suggestion(row) for row in await sql.list_suggestions.fetch(tx)]


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
    """Confirm a suggestion, which every process applies within two seconds, or dismiss it.

    One person is enough: in an outage there is no time for two.

    Args:
        override_id: For the leave that a confirmation makes.

    Effects:
        Writes one audit entry.

    Errors:
        NotFound: there is no such suggestion, it was decided, or health no longer calls for it.
        InvalidParameter: a blank reason.
    """
    operators.check_reason(reason)
    decision = "confirmed" if confirm else "dismissed"
    row = await sql.decide_suggestion.fetchrow(tx, suggestion_id, decision, operator_id, now, reason)
    if row is None:
        raise NotFound("no open suggestion has this id")
    suggestion = _read_suggestion(row)
    if confirm and suggestion.what is SuggestionKind.LEAVE:
        leave = Override(
            override_id,
            OverrideKind.LEAVE,
            "",
            suggestion.account,
            None,
            reason,
            operator_id,
            now,
            interface=suggestion.interface,
        )
        await insert_override(tx, leave)
    elif confirm:
        await sql.lift_leave.execute(tx, suggestion.account, suggestion.interface, now)
    entry = operators.AuditEntry(
        operator_id,
        f"routing.{suggestion.what}" if confirm else "routing.dismiss",
        "routing",
        suggestion.account,
        reason,
        after={"suggestion": suggestion.what, "interface": suggestion.interface, "why": suggestion.why},
        request_id=request_id,
    )
    await operators.audit(tx, [entry], now=now)
    return suggestion


def _operators_confirm(state: RoutingState) -> bool:
    return any(policy.mode is Mode.SUGGEST for policy in state.configuration.policies.values())


def _switches(state: RoutingState, left: Iterable[Interface], now: datetime) -> dict[Interface, _Switch]:
    """Return the switches that the health of each interface calls for."""
    names = {candidate.account_id: candidate.name for candidate in state.candidates}
    by_name = {name: account_id for account_id, name in names.items()}
    away = set(left)
    interfaces = {(names[account_id], interface) for account_id, interface in state.router.tracked()}
    interfaces |= {interface for interface in away if interface[0] in by_name}
    switches: dict[Interface, _Switch] = {}
    for name, interface in sorted(interfaces):
        health = state.router.health(by_name[name], now, interface)
        if (name, interface) in away:
            if health.state is HealthState.HEALTHY:
                why = f"its attempts succeed again; estimated success {health.success:.0%}"
                switches[name, interface] = _Switch(SuggestionKind.RETURN, health, why)
        elif health.state in (HealthState.OPEN, HealthState.PROBING):
            # While an account is probed, an existing suggestion to leave it stays, and no new one is made.
            why = f"{health.faults} of its last {health.seen} attempts failed technically" if health.is_open else ""
            switches[name, interface] = _Switch(SuggestionKind.LEAVE, health, why)
    return switches


_read_suggestion = db.reader(Suggestion, sql["suggestion"])
